public import AgentProtocols
public import CASACore
import Yams

/// One workload as its sidecar and its authorization service know it: who it is, where it listens, whom it may
/// call. One YAML file.
public struct Workload: Sendable, Hashable {
  /// The runtime's base URL.
  public let runtime: HTTPEndpoint
  public let clientID: AppID
  public let clientSecretFile: String
  /// Where `casa authorize` listens.
  public let authorization: ListenAddress
  /// Holds a random key by which the authorization service knows this sidecar.
  public let sidecarKeyFile: String
  /// nil for an app that nobody calls.
  public let ingress: Ingress?
  public let egress: [Egress]
  /// Where traffic arrives that packet rules redirect (`casa sidecar intercept`); nil when apps are pointed at the
  /// sidecar by address.
  public let interception: InterceptionListeners?
  /// Where a client's request carries the user's input, when it is not an A2A message.
  public let promptJSONPath: JSONPath?
  public let adapter: Adapter

  /// By what Envoy asks the authorization service.
  public enum Adapter: String, Sendable, Hashable, CaseIterable {
    /// Envoy's ext_authz.
    case grpc
    /// A script in Envoy's Lua.
    case lua
    /// CASA's library within Envoy, which decides by itself what it can.
    case module

    /// What a file that names none means.
    public static let standard = Adapter.module

    /// The names there are, for errors.
    public static var names: String { allCases.map(\.rawValue).joined(separator: " or ") }
  }

  /// Where the workload is called.
  public struct Ingress: Sendable, Hashable {
    /// nil when only redirected traffic enters.
    public let listen: ListenAddress?
    /// The app itself; its path is the only one let through.
    public let app: HTTPEndpoint
  }

  /// One destination the workload may call, at an address of its own or by its name.
  public struct Egress: Sendable, Hashable {
    public enum Destination: Sendable, Hashable {
      /// An app of the same MAS, by name.
      case app(Name)
      /// The LLM, with the file that holds its API key when the sidecar keeps it.
      case llm(apiKeyFile: String?)
    }

    /// nil when only redirected traffic reaches it.
    public let listen: ListenAddress?
    public let destination: Destination
    public let url: HTTPEndpoint
    /// Other hosts by which the app may write the destination, such as the short name of a Service: in lower case,
    /// without a port, which is the URL's.
    public let aliases: [String]
  }
}

extension Workload {
  /// The files that hold its secrets.
  public var secretFiles: [String] {
    [clientSecretFile, sidecarKeyFile]
      + egress.compactMap { if case .llm(let file?) = $0.destination { file } else { nil } }
  }

  /// - Throws: `ConfigurationError`
  public static func load(path: String) throws(ConfigurationError) -> Workload {
    try ConfigurationFile.load(path: path) { (text, directory) throws(ConfigurationError) in
      try Workload(yaml: text, relativeTo: directory)
    }
  }

  /// - Parameter directory: what relative paths of files are relative to.
  /// - Throws: `ConfigurationError` that names the line and the key.
  public init(yaml: String, relativeTo directory: String) throws(ConfigurationError) {
    let fields = try YAMLMapping(
      yaml: yaml, of: "a workload with `runtime`, `client_id` and more",
      known: [
        "runtime", "client_id", "client_secret_file", "authorization", "sidecar_key_file", "ingress", "egress",
        "intercept", "prompt_json_path", "adapter",
      ])
    func path(_ text: String) -> String? {
      text.isEmpty ? nil : text.hasPrefix("/") ? text : directory + "/" + text
    }
    runtime = try fields.required("runtime", "an http or https URL") { HTTPEndpoint($0) }
    clientID = try fields.required("client_id", "the app's id") { AppID(validating: $0) }
    clientSecretFile = try fields.required("client_secret_file", "a path", path)
    authorization = try fields.required("authorization", "unix:/path or host:port") { ListenAddress($0) }
    sidecarKeyFile = try fields.required("sidecar_key_file", "a path", path)
    promptJSONPath = try fields.optional("prompt_json_path", "a path such as $.prompt") { JSONPath($0) }
    adapter = try fields.optional("adapter", Adapter.names) { Adapter(rawValue: $0) } ?? .standard
    let interception = try fields["intercept"].map { (node) throws(ConfigurationError) in
      try InterceptionListeners(node)
    }
    self.interception = interception
    func listen(_ fields: YAMLMapping) throws(ConfigurationError) -> ListenAddress? {
      let expected = "an IP address and a port"
      guard interception != nil else { return try fields.required("listen", expected) { ListenAddress(literal: $0) } }
      return try fields.optional("listen", expected) { ListenAddress(literal: $0) }
    }
    if let node = fields["ingress"] {
      let fields = try YAMLMapping(node, of: "ingress", known: ["listen", "app"])
      ingress = Ingress(
        listen: try listen(fields),
        app: try fields.required("app", "an http URL") { HTTPEndpoint($0) })
    } else {
      ingress = nil
    }
    var egress: [Egress] = []
    for element in try fields.list("egress") {
      let fields = try YAMLMapping(
        element, of: "an egress", known: ["listen", "destination", "llm", "url", "aliases", "api_key_file"])
      let name = try fields.optional("destination", "the name of an app: \(Name.expectedOfApp)") { Name(app: $0) }
      let isLLM = try fields.optional("llm", "true") { $0 == "true" ? true : nil } ?? false
      let key = try fields.optional("api_key_file", "a path", path)
      let destination: Egress.Destination
      switch (name, isLLM) {
      case (let name?, false) where key == nil: destination = .app(name)
      case (nil, true): destination = .llm(apiKeyFile: key)
      default:
        throw ConfigurationError(
          "line \(element.line): an egress has either `destination` or `llm: true`, and `api_key_file` only with llm")
      }
      egress.append(
        Egress(
          listen: try listen(fields),
          destination: destination, url: try fields.required("url", "an http or https URL") { HTTPEndpoint($0) },
          aliases: try Self.aliases(fields)))
    }
    self.egress = egress
    let listeners =
      egress.compactMap(\.listen) + (ingress?.listen.map { [$0] } ?? [])
      + (interception.map { $0.inbound + $0.outbound } ?? [])
    var taken: Set<ListenAddress> = []
    for listener in listeners where !taken.insert(listener).inserted {
      throw ConfigurationError("two `listen` have the same address \(listener)")
    }
    if interception != nil { try Self.refuseSharedAuthorities(egress) }
  }

  /// How many other hosts a destination may have.
  private static let maximumAliases = 64

  private static func aliases(_ fields: YAMLMapping) throws(ConfigurationError) -> [String] {
    var aliases: [String] = []
    for node in try fields.list("aliases") {
      guard let alias = node.scalar.flatMap({ Egress.host($0.string) }) else {
        throw ConfigurationError(
          "line \(node.line): `aliases` must be host names in lower case, without scheme, port and path")
      }
      guard !aliases.contains(alias), aliases.count < maximumAliases else {
        throw ConfigurationError(
          "line \(node.line): `aliases` must be at most \(maximumAliases) hosts, each once; got \(alias)")
      }
      aliases.append(alias)
    }
    return aliases
  }

  /// Redirected requests are told apart by the destination's name alone.
  private static func refuseSharedAuthorities(_ egress: [Egress]) throws(ConfigurationError) {
    var taken: Set<String> = []
    for name in egress.flatMap(\.authorities) where !taken.insert(name).inserted {
      throw ConfigurationError("two egress have the authority \(name); with `intercept` each needs one of its own")
    }
  }
}

extension Workload.Egress {
  /// How an app that knows nothing of the sidecar may write the destination in `Host`: in lower case, with and
  /// without the port where it is the default one. At an https destination the app speaks http, and the sidecar TLS.
  var authorities: [String] {
    var authorities: [String] = []
    for host in hosts {
      switch url.scheme {
      case .http: authorities += url.port == 80 ? [host, "\(host):80"] : ["\(host):\(url.port)"]
      case .https:
        authorities += [host, "\(host):80", "\(host):443"]
        if url.port != 443 && url.port != 80 { authorities.append("\(host):\(url.port)") }
      }
    }
    return authorities
  }

  /// The origins by which the destination may speak of itself: what its URL says, and its other names.
  public var origins: [String] {
    let port = url.port == (url.scheme == .http ? 80 : 443) ? "" : ":\(url.port)"
    return ["\(url.scheme.rawValue)://\(url.authority)"] + aliases.map { "\(url.scheme.rawValue)://\($0)\(port)" }
  }

  /// The URL's own host first. An alias that is the same says nothing new.
  private var hosts: [String] {
    let own = (url.host.contains(":") ? "[\(url.host)]" : url.host).lowercased()
    return [own] + aliases.filter { $0 != own }
  }

  /// A host's name as Envoy compares it: labels of `a-z 0-9 - _` with dots between them; nil for anything else.
  fileprivate static func host(_ text: String) -> String? {
    let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard text.utf8.count <= 253,
      labels.allSatisfy({ label in
        (1...63).contains(label.count)
          && label.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
              UInt8(ascii: "_"):
              true
            default: false
            }
          }
      })
    else { return nil }
    return text
  }
}

extension Workload {
  /// The ways out by how an app may write their destinations in `Host`, in lower case: the names by which a sidecar of
  /// our own tells redirected requests apart, for a mesh's Envoy, which does not say which way it asks about. What two
  /// ways have in common is neither's.
  public var listenersByAuthority: [String: Listener] {
    var listeners: [String: Listener?] = [:]
    for (index, egress) in egress.enumerated() {
      for authority in egress.authorities {
        listeners[authority] = listeners[authority] == nil ? .some(.egress(index)) : .some(nil)
      }
    }
    return listeners.compactMapValues { $0 }
  }
}
