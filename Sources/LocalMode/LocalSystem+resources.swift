import CASACore
public import CustomResources
public import Sidecar

extension LocalSystem {
  /// The system that custom resources declare, on this machine: apps listen on their containers' ports, and whom an
  /// app's policy does not let it call its sidecar has no address for.
  /// - Throws: `ConfigurationError` when two would listen on one port, or a sidecar could not tell what it is to read.
  public init(resolved: ResolvedSystem, at placement: LocalPlacement) throws(ConfigurationError) {
    let ports = LocalPorts(first: placement.firstPort)
    let object = resolved.object
    for name in placement.appPorts.keys.sorted(by: { $0.text < $1.text })
    where !object.apps.contains(where: { $0.name == name && $0.entrance != nil }) {
      throw ConfigurationError("\(object.metadata.name) has no app \(name) with a `baseUrl`, so it listens nowhere")
    }
    var apps: [App] = []
    for (index, resolvedApp) in resolved.apps.enumerated() {
      let app = resolvedApp.app
      var own: HTTPEndpoint?
      if let entrance = app.entrance {
        let port = placement.appPorts[app.name] ?? entrance.containerPort
        guard let endpoint = HTTPEndpoint("http://127.0.0.1:\(port)\(entrance.path)") else {
          throw ConfigurationError("\(app.name) can't listen on 127.0.0.1:\(port) with the path \(entrance.path)")
        }
        own = endpoint
      }
      apps.append(
        App(
          name: app.name, kind: app.kind,
          entrance: app.kind != .client && resolvedApp.isCallable
            ? own.map { Entrance(listen: .loopback(ports.entrance(of: index)), app: $0) } : nil,
          usersCall: app.kind == .client ? own : nil, promptJSONPath: resolvedApp.promptJSONPath,
          callsPromptJSONPath: resolvedApp.callsPromptJSONPath,
          allowedMethods: app.kind == .mcpServer ? app.allowedMethods : nil,
          calls: try Self.calls(resolvedApp, index, resolved, placement, ports), adapter: .standard))
    }
    try Self.refuseSharedPorts(apps, placement)
    self.init(
      mas: object.name, runtime: placement.runtime, checks: object.enabledToolChecks ?? Set(CheckName.allCases),
      allowUndecided: object.allowUndecided, intent: object.intent ?? [:], apps: apps)
  }

  private static func calls(
    _ app: ResolvedApp, _ index: Int, _ resolved: ResolvedSystem, _ placement: LocalPlacement, _ ports: LocalPorts
  ) throws(ConfigurationError) -> [Call] {
    var calls: [Call] = []
    for call in app.calls {
      // A client takes no calls of other apps, as its sidecar says in a cluster.
      guard let callee = resolved.object.apps.firstIndex(where: { $0.name == call.app }),
        resolved.object.apps[callee].kind != .client
      else { continue }
      calls.append(Call(listen: .loopback(ports.way(from: index, to: callee)), destination: .app(call.app)))
    }
    if let llm = app.llm {
      guard let endpoint = placement.llm ?? HTTPEndpoint(llm.url) else {
        throw ConfigurationError("\(llm.url) is no URL of an LLM")
      }
      calls.append(
        Call(
          listen: .loopback(ports.wayToLLM(from: index)),
          destination: .llm(endpoint, apiKeyFile: llm.apiKey == nil ? nil : placement.llmAPIKeyFile)))
    }
    return calls
  }

  private static func refuseSharedPorts(_ apps: [App], _ placement: LocalPlacement) throws(ConfigurationError) {
    var takers: [Int: String] = [:]
    if case .tcp(_, let port) = placement.runtime { takers[port] = "the runtime" }
    let ports = LocalPorts(first: placement.firstPort)
    func take(_ port: Int, _ taker: String, _ mend: String) throws(ConfigurationError) {
      guard (1...65_535).contains(port) else {
        throw ConfigurationError("\(taker) would listen on the port \(port); expected 1 to 65535; \(mend)")
      }
      if let other = takers.updateValue(taker, forKey: port) {
        throw ConfigurationError("\(other) and \(taker) would both listen on 127.0.0.1:\(port); \(mend)")
      }
    }
    for app in apps {
      guard let own = app.entrance?.app ?? app.usersCall else { continue }
      try take(own.port, "the app \(app.name)", "say where it listens here with --app-port \(app.name)=PORT")
    }
    let mend = "choose another --first-port"
    try take(ports.guardMetrics, "the node guard", mend)
    for app in apps {
      if let entrance = app.entrance { try take(entrance.listen.port, "the sidecar of \(app.name)", mend) }
      for call in app.calls { try take(call.listen.port, "the sidecar of \(app.name)", mend) }
    }
  }
}

extension ListenAddress {
  static func loopback(_ port: Int) -> ListenAddress { .tcp(host: "127.0.0.1", port: port) }

  /// 0 for a Unix socket.
  fileprivate var port: Int {
    switch self {
    case .tcp(_, let port): port
    case .unix: 0
    }
  }
}
