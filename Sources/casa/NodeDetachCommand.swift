import ArgumentParser
import NodeGuard

struct NodeDetachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detach",
    abstract: "End enforcement: remove the programs and maps from the kernel.",
    discussion: """
      Stop `casa node run` first. What the policy denied then passes. Detaching what is not attached does nothing.

      Example:
        casa node detach
      """)

  @OptionGroup var node: NodeOptions

  func run() throws {
    try KernelPrograms(pins: node.pinDirectory).detach()
    print("detached: nothing is enforced by the programs of \(node.pins) any more")
  }
}
