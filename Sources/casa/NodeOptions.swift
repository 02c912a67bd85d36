import ArgumentParser
import NodeGuard

/// Where a node guard keeps what it keeps.
struct NodeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where programs and maps are pinned: in a BPF file system.", valueName: "directory"))
  var pins = PinDirectory.standard.path

  @Option(
    help: ArgumentHelp("Where reports wait, and the applied policy and the latest flows are.", valueName: "directory"))
  var state = "/var/lib/casa/node"

  var pinDirectory: PinDirectory { PinDirectory(pins) }
}
