public import ArgumentParser
import Foundation
public import Sidecar

/// The init container's job.
struct SidecarInterceptCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "intercept",
    abstract: "Lead all TCP of this network namespace through the sidecar and deny everything else.",
    discussion: """
      Run it as root (CAP_NET_ADMIN) in the workload's network namespace, before the app starts. It needs the package
      iptables. Running it again changes nothing.

      The sidecar then listens at 0.0.0.0 and [::] on the inbound port, and at 127.0.0.1 and [::1] on the outbound
      port (`intercept:` in its file), and runs as the proxy's user, which no app may have. The app may ask the
      resolvers by UDP and TCP 53; other UDP, ICMP, SCTP and raw protocols are denied, and loopback is left alone.

      When one family fails, the other's rules stay: do not start the app unless this ended with 0.

      Examples:
        casa sidecar intercept --proxy-uid 1337
        casa sidecar intercept --resolver 10.96.0.10 --dry-run
        casa sidecar intercept --remove

      Exit codes: 0 done, 1 not (all) done, 64 wrong usage.
      """)

  @Option(help: "The user that the sidecar runs as, by number; not 0.")
  var proxyUid = InterceptionRules.defaultProxyUser

  @Option(help: "Where inbound connections are redirected to.")
  var inboundPort = InterceptionRules.defaultInboundPort

  @Option(help: "Where outbound connections are redirected to.")
  var outboundPort = InterceptionRules.defaultOutboundPort

  @Option(
    help: ArgumentHelp(
      "Where the sidecar answers probes (`casa sidecar --probes-listen`), past redirection.", valueName: "port"))
  var probePort: Int?

  @Option(
    name: .customLong("resolver"),
    help: ArgumentHelp(
      "Who may be asked for names; repeatable. Without it, those of /etc/resolv.conf.", valueName: "address"))
  var resolvers: [String] = []

  @Option(help: ArgumentHelp("Which tools: nft or legacy. Without it, whichever is in use.", valueName: "backend"))
  var backend: PacketFilterBackend?

  @Flag(help: "Remove the rules.")
  var remove = false

  @Flag(help: "Print what would be set in an empty namespace, as input of iptables-restore, and change nothing.")
  var dryRun = false

  @Option(help: ArgumentHelp("How --dry-run prints: text or json.", valueName: "format"))
  var format = OutputFormat.text

  @Flag(help: "Go on though this is the machine's own network and not a pod's.")
  var hostNetwork = false

  func validate() throws {
    guard proxyUid != 0 else {
      throw ValidationError("--proxy-uid must not be 0: apps that run as root would pass unasked")
    }
    for (name, port) in [("--inbound-port", inboundPort), ("--outbound-port", outboundPort)] {
      guard (1...65_535).contains(port) else { throw ValidationError("\(name) must be 1 to 65535; got \(port)") }
    }
    guard inboundPort != outboundPort else { throw ValidationError("the two ports must differ") }
    if let probePort, !(1...65_535).contains(probePort) || [inboundPort, outboundPort].contains(probePort) {
      throw ValidationError("--probe-port must be 1 to 65535 and no other port of the sidecar; got \(probePort)")
    }
    for text in resolvers where IPAddress(text) == nil {
      throw ValidationError("--resolver must be an IP address without a zone; got '\(text)'")
    }
    guard !(remove && dryRun) else { throw ValidationError("--remove and --dry-run exclude each other") }
  }

  func run() async throws {
    let rules = InterceptionRules(
      inboundPort: inboundPort, outboundPort: outboundPort, proxyUser: proxyUid, resolvers: addresses(),
      probePort: probePort)
    if dryRun {
      describe(rules)
      return
    }
    guard Interception.isRoot else {
      throw InterceptionError("packet rules are set by root with CAP_NET_ADMIN; run it as user 0")
    }
    guard hostNetwork || !Interception.isMachinesOwnNetwork else {
      throw InterceptionError(
        "this is the machine's own network namespace, which would lose its connections; expected a pod's. "
          + "--host-network goes on all the same")
    }
    let interception = Interception(backend: backend)
    let outcomes = remove ? try await interception.remove() : try await interception.apply(rules)
    for family in IPFamily.allCases {
      if let outcome = outcomes[family] { say("\(family.rawValue): \(outcome)") }
    }
    guard !remove else { return }
    let names = rules.resolvers.map(\.description).joined(separator: ", ")
    say(names.isEmpty ? "no resolver may be asked: give --resolver or a resolv.conf" : "resolvers: \(names)")
  }

  private func addresses() -> [IPAddress] {
    guard resolvers.isEmpty else {
      return resolvers.compactMap { IPAddress($0) }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
    let data = FileManager.default.contents(atPath: "/etc/resolv.conf") ?? Data()
    return IPAddress.nameServers(resolverConfiguration: String(decoding: data, as: UTF8.self))
  }

  private func describe(_ rules: InterceptionRules) {
    switch format {
    case .json:
      print(rules.json)
    case .text:
      for (family, tool) in [(IPFamily.ipv4, "iptables-restore"), (.ipv6, "ip6tables-restore")] {
        print("# \(tool) --noflush")
        print(rules.restoreInput(family, over: SavedRules(parsing: "")) ?? "", terminator: "")
      }
    }
  }

  private func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}

extension PacketFilterBackend: ExpressibleByArgument {}
