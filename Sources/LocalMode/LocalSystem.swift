public import CASACore
public import Sidecar
import Yams

/// One multi-agent system on one machine, as its file describes it: who its apps are, where each listens and whom
/// it may call.
public struct LocalSystem: Sendable, Hashable {
  public let mas: Name
  /// Where the runtime listens.
  public let runtime: ListenAddress
  /// Where the authorization service listens; nil for a Unix socket among the system's files.
  public let authorization: ListenAddress?
  /// The checks of tool calls to be switched on; nil for those that the runtime has on, which are all at first.
  public let checks: Set<CheckName>?
  /// Whether a call passes that no check could judge; nil for what the runtime has.
  public let allowUndecided: Bool?
  /// How the checks of intent judge, as `PUT /mas/{id}` takes it; nil for what the runtime has.
  public let intent: JSONValue?
  public let apps: [App]

  public struct App: Sendable, Hashable {
    public let name: Name
    public let kind: AppKind
    /// What others call it by; nil for an app that nobody calls.
    public let entrance: Entrance?
    /// Where a client takes its users' requests itself: no sidecar stands before it. nil for all others.
    public let usersCall: HTTPEndpoint?
    /// Where a request to it carries the user's input, when it is not an A2A message.
    public let promptJSONPath: String?
    /// The same of the requests that it sends to the agents it calls.
    public let callsPromptJSONPath: String?
    /// MCP methods beside tools that are let through to it; nil for those that the runtime has.
    public let allowedMethods: [String]?
    public let calls: [Call]
    /// By what its sidecar asks the authorization service.
    public let adapter: Workload.Adapter
  }

  /// Where an app is called: its sidecar listens and hands on what passes.
  public struct Entrance: Sendable, Hashable {
    public let listen: ListenAddress
    /// The app itself.
    public let app: HTTPEndpoint

    /// What the others' sidecars call.
    public var url: String { "http://\(listen)\(app.path)" }
  }

  /// Whom an app may call, and at which address of its sidecar it does.
  public struct Call: Sendable, Hashable {
    public enum Destination: Sendable, Hashable {
      case app(Name)
      /// The LLM's base URL, and the file with its API key when the sidecar is to keep it.
      case llm(HTTPEndpoint, apiKeyFile: String?)
    }

    public let listen: ListenAddress
    public let destination: Destination
  }

  init(
    mas: Name, runtime: ListenAddress, authorization: ListenAddress? = nil, checks: Set<CheckName>? = nil,
    allowUndecided: Bool? = nil, intent: JSONValue? = nil, apps: [App]
  ) {
    self.mas = mas
    self.runtime = runtime
    self.authorization = authorization
    self.checks = checks
    self.allowUndecided = allowUndecided
    self.intent = intent
    self.apps = apps
  }
}

extension LocalSystem {
  /// - Throws: `ConfigurationError`
  public static func load(path: String) throws(ConfigurationError) -> LocalSystem {
    try ConfigurationFile.load(path: path) { (text, directory) throws(ConfigurationError) in
      // A file may hold several objects, of which none is a system's.
      guard !text.split(whereSeparator: \.isNewline).contains(where: { $0.hasPrefix("apiVersion:") }) else {
        throw ConfigurationError("it is a Kubernetes object; give it with -f: casa up -f \(path)")
      }
      return try LocalSystem(yaml: text, relativeTo: directory)
    }
  }

  /// - Parameter directory: what relative paths of files are relative to.
  /// - Throws: `ConfigurationError` that names the line and the key.
  public init(yaml: String, relativeTo directory: String) throws(ConfigurationError) {
    let fields = try YAMLMapping(
      yaml: yaml, of: "a system with `mas`, `runtime` and `apps`",
      known: ["mas", "runtime", "authorization", "adapter", "checks", "apps"])
    mas = try fields.required("mas", "the system's name: 1 to 63 of a-z, 0-9 and -") { Name($0) }
    runtime = try fields.required("runtime", "an IP address and a port") { ListenAddress(literal: $0) }
    authorization = try fields.optional("authorization", "unix:/path or host:port") { ListenAddress($0) }
    checks = try Self.checks(fields)
    (allowUndecided, intent) = (nil, nil)
    var apps: [App] = []
    let adapter = try fields.optional("adapter", Workload.Adapter.names) { Workload.Adapter(rawValue: $0) } ?? .standard
    for node in try fields.list("apps") { apps.append(try App(node, relativeTo: directory, adapter: adapter)) }
    self.apps = apps
    guard Set(apps.map(\.name)).count == apps.count else { throw ConfigurationError("two apps have the same name") }
    var addresses: Set<ListenAddress> = [runtime]
    for address in apps.flatMap({ app in app.calls.map(\.listen) + (app.entrance.map { [$0.listen] } ?? []) })
    where !addresses.insert(address).inserted {
      throw ConfigurationError("\(address) is given twice; each `listen` needs an address of its own")
    }
    for app in apps {
      for case .app(let callee) in app.calls.map(\.destination)
      where !apps.contains(where: { $0.name == callee && $0.entrance != nil }) {
        throw ConfigurationError("\(app.name) calls \(callee), which is no app here with `url` and `listen`")
      }
    }
  }
}

extension LocalSystem {
  private static func checks(_ fields: YAMLMapping) throws(ConfigurationError) -> Set<CheckName>? {
    guard fields["checks"] != nil else { return nil }
    var checks: Set<CheckName> = []
    for node in try fields.list("checks") {
      guard let check = node.scalar.flatMap({ CheckName(rawValue: $0.string) }) else {
        let known = CheckName.allCases.map(\.rawValue).joined(separator: ", ")
        throw ConfigurationError("line \(node.line): `checks` must be names among \(known)")
      }
      checks.insert(check)
    }
    return checks
  }
}

extension LocalSystem.App {
  /// - Parameter adapter: the system's, for an app that names none.
  fileprivate init(
    _ node: Node, relativeTo directory: String, adapter: Workload.Adapter
  ) throws(ConfigurationError) {
    let fields = try YAMLMapping(
      node, of: "an app", known: ["name", "kind", "url", "listen", "prompt_json_path", "adapter", "calls"])
    name = try fields.required("name", Name.expectedOfApp) { Name(app: $0) }
    let kinds = AppKind.allCases.map(\.rawValue).joined(separator: ", ")
    kind = try fields.required("kind", kinds) { AppKind(rawValue: $0) }
    let promptJSONPath = try fields.optional("prompt_json_path", "a path such as $.prompt") { $0 }
    self.promptJSONPath = promptJSONPath
    callsPromptJSONPath = kind == .client ? promptJSONPath : nil
    (usersCall, allowedMethods) = (nil, nil)
    self.adapter =
      try fields.optional("adapter", Workload.Adapter.names) { Workload.Adapter(rawValue: $0) } ?? adapter
    let app = try fields.optional("url", "the app's http URL") { HTTPEndpoint($0) }
    let listen = try fields.optional("listen", "an IP address and a port") { ListenAddress(literal: $0) }
    switch (app, listen) {
    case (let app?, let listen?): entrance = LocalSystem.Entrance(listen: listen, app: app)
    case (nil, nil) where kind == .client: entrance = nil
    default:
      throw ConfigurationError(
        "line \(node.line): an agent and an mcp_server need `url`, where the app is, and `listen`, where its sidecar is called"
      )
    }
    var calls: [LocalSystem.Call] = []
    for element in try fields.list("calls") {
      let fields = try YAMLMapping(element, of: "a call", known: ["app", "llm", "api_key_file", "listen"])
      let name = try fields.optional("app", "the name of an app") { Name($0) }
      let llm = try fields.optional("llm", "the LLM's base URL") { HTTPEndpoint($0) }
      let keyFile = try fields.optional("api_key_file", "a path") { $0.hasPrefix("/") ? $0 : directory + "/" + $0 }
      let destination: LocalSystem.Call.Destination
      switch (name, llm) {
      case (let name?, nil) where keyFile == nil: destination = .app(name)
      case (nil, let llm?): destination = .llm(llm, apiKeyFile: keyFile)
      default:
        throw ConfigurationError(
          "line \(element.line): a call has either `app` or `llm`, and `api_key_file` only with `llm`")
      }
      calls.append(
        LocalSystem.Call(
          listen: try fields.required("listen", "an IP address and a port") { ListenAddress(literal: $0) },
          destination: destination))
    }
    self.calls = calls
  }
}
