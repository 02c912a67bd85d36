import AgentProtocols
import ArgumentParser
import CASACore
import NodeGuard

struct NodeExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Tell whether a connection of a workload would pass, and by which rule.",
    discussion: """
      Exit code 0 when it would pass, 1 when it would be denied.

      Examples:
        casa node explain 10.1.2.3:8443 --workload agent
        casa node explain '[fd00::3]:53' --workload agent --protocol udp
        casa node explain 10.9.9.9:8080 --workload agent --inbound      who may reach the workload's port 8080
      """)

  @Argument(
    help: ArgumentHelp("The peer's address and port; with --inbound the workload's own port.", valueName: "ip:port"))
  var remote: String

  @Option(help: ArgumentHelp("Whose connection.", valueName: "name"))
  var workload: String

  @Option(help: ArgumentHelp("tcp or udp.", valueName: "protocol"))
  var `protocol` = "tcp"

  @Flag(help: "The peer begins it.")
  var inbound = false

  @Option(help: ArgumentHelp("Read this policy instead of the one that is enforced.", valueName: "file"))
  var policy: String?

  @OptionGroup var node: NodeOptions
  @Option(help: "How to print: text or json.")
  var format = OutputFormat.text

  func run() throws {
    guard let address = SocketAddress(remote) else {
      throw ValidationError("expected an address and a port, such as 10.1.2.3:443 or [fd00::1]:443; got '\(remote)'")
    }
    guard let transport = TransportProtocol(`protocol`) else {
      throw ValidationError("--protocol must be tcp or udp; got '\(`protocol`)'")
    }
    let policy = try policy.map { try NodePolicy.load(path: $0) } ?? AppliedPolicy.load(from: node.state)
    let workload = try policy.workload(orFail: workload)
    // A kernel that can't be asked knows of no address.
    let admitted = try? NodeStatus.admittedAddresses(of: workload, pins: node.pinDirectory)
    let verdict = PolicyVerdict(
      of: workload, in: policy, inbound ? .inbound : .outbound, transport, remote: address.address, port: address.port,
      admitted: admitted)
    switch format {
    case .json:
      print(
        ([
          "allowed": .bool(verdict.isAllowed), "reason": .string(verdict.reason.description),
          "explanation": .string(verdict.description),
        ] as JSONValue).canonicalText)
    case .text: print(verdict.description)
    }
    if !verdict.isAllowed { throw ExitCode.failure }
  }
}
