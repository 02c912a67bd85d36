import AgentProtocols
public import CASACore

/// A multi-agent system as its team declares it: the custom resource `multiagentsystems.casa.io`.
public struct MultiAgentSystem: Sendable, Hashable {
  public static let kind = "MultiAgentSystem"

  public let metadata: ObjectMetadata
  /// What it is called at the runtime.
  public let name: Name
  /// nil for all.
  public let enabledToolChecks: Set<CheckName>?
  public let allowUndecided: Bool
  /// The runtime's `intent`, which the runtime reads.
  public let intent: JSONValue?
  public let llm: LLM?
  public let apps: [App]

  /// The one LLM that the system's agents may ask.
  public struct LLM: Sendable, Hashable {
    public let isTLS: Bool
    /// In lower case.
    public let host: String
    public let port: Int
    /// Begins with a slash.
    public let basePath: String
    /// The Secret in the system's namespace that holds the API key, when the sidecar is to keep it.
    public let apiKey: SecretKey?

    public var url: String {
      let isDefault = port == (isTLS ? 443 : 80)
      return "\(isTLS ? "https" : "http")://\(host)\(isDefault ? "" : ":\(port)")\(basePath)"
    }
  }

  /// One key of a Secret.
  public struct SecretKey: Sendable, Hashable {
    public let name: String
    public let key: String
  }

  /// One workload of the system.
  public struct App: Sendable, Hashable {
    public let name: Name
    public let kind: AppKind
    /// Where others call it; nil for a client that nobody calls.
    public let entrance: Entrance?
    /// The Deployment, StatefulSet or Pod that it runs as; nil when it runs elsewhere.
    public let workloadName: String?
    /// Where a request carries the user's input, when it is not an A2A message.
    public let promptJSONPath: String?
    /// MCP methods beside tools that are let through to it.
    public let allowedMethods: [String]
    /// Whom it may call; nil for whom its kind usually calls.
    public let calls: [Name]?
  }

  /// Where an app is called.
  public struct Entrance: Sendable, Hashable {
    public let service: ServiceAddress
    /// Begins with a slash; the only path that is let through.
    public let path: String
    /// The port on which the app itself listens in its pod.
    public let containerPort: Int

    public var url: String { "http://\(service.clusterName):\(service.port)\(path)" }
  }
}

extension MultiAgentSystem {
  static let maximumApps = 64

  /// - Parameters:
  ///   - json: the object as the API server has it.
  ///   - defaultNamespace: of an object from a file that names none.
  /// - Throws: `ResourceError` that names the path of what is wrong.
  public init(json: JSONValue, defaultNamespace: String = "default") throws(ResourceError) {
    metadata = try ObjectMetadata(json: json["metadata"], defaultNamespace: defaultNamespace)
    let spec = try ResourceFields(
      json["spec"], at: "spec",
      known: ["name", "enabledToolChecks", "allowUndecided", "intent", "llm_host", "llm", "apps"])
    let written = try spec.required("name", "a text of 1 to 253 characters") { text in
      (1...253).contains(text.count) ? text : nil
    }
    guard let name = Self.slug(written) else {
      throw ResourceError("spec.name", expected: "a text with at least one letter a-z or digit", got: written)
    }
    self.name = name
    let known = CheckName.allCases.map(\.rawValue).joined(separator: ", ")
    enabledToolChecks =
      spec.has("enabledToolChecks")
      ? Set(try spec.texts("enabledToolChecks", atMost: 32, "a check among \(known)") { CheckName(rawValue: $0) })
      : nil
    allowUndecided = try spec.flag("allowUndecided") ?? false
    intent = spec["intent"]
    llm = try LLM(spec)
    var apps: [App] = []
    for (path, element) in try spec.list("apps", atMost: Self.maximumApps) {
      let app = try App(element, at: path, in: metadata.namespace)
      guard !apps.contains(where: { $0.name == app.name }) else {
        throw ResourceError("\(path).name", expected: "a name that no other app has", got: app.name.text)
      }
      apps.append(app)
    }
    self.apps = apps
    for app in apps {
      for callee in app.calls ?? [] where !apps.contains(where: { $0.name == callee && $0.entrance != nil }) {
        throw ResourceError(
          "spec.apps[name=\(app.name)].calls", expected: "names of apps here that have a baseUrl", got: callee.text)
      }
      if let twin = apps.first(where: {
        $0.name != app.name && $0.workloadName != nil && $0.workloadName == app.workloadName
      }) {
        throw ResourceError(
          "spec.apps[name=\(app.name)].kubernetesWorkloadName", expected: "a workload of its own",
          got: "\(app.workloadName ?? ""), which is \(twin.name)'s")
      }
    }
  }

  /// A name for the runtime of a text that a person wrote: `Banking MAS` is `banking-mas`.
  static func slug(_ text: String) -> Name? {
    var slug = ""
    for byte in text.lowercased().utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        slug.unicodeScalars.append(Unicode.Scalar(byte))
      default: if !slug.isEmpty, !slug.hasSuffix("-") { slug += "-" }
      }
    }
    slug = String(slug.prefix(63))
    while slug.hasSuffix("-") { slug.removeLast() }
    return Name(slug)
  }
}

extension MultiAgentSystem.LLM {
  /// nil when the system names none.
  fileprivate init?(_ spec: ResourceFields) throws(ResourceError) {
    let details =
      spec.has("llm")
      ? try ResourceFields(spec["llm"], at: "spec.llm", known: ["scheme", "basePath", "apiKeySecret"]) : nil
    let isTLS =
      try details?.optional("scheme", "https or http") { ["https": true, "http": false][$0] } ?? true
    let address = try spec.optional("llm_host", "a host name, with a port or without") { text -> (String, Int)? in
      let parts = text.lowercased().split(separator: ":", omittingEmptySubsequences: false)
      guard (1...2).contains(parts.count), ObjectMetadata.isSubdomain(String(parts[0])) else { return nil }
      guard parts.count == 2 else { return (String(parts[0]), isTLS ? 443 : 80) }
      guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(parts[1]),
        (1...65535).contains(port)
      else { return nil }
      return (String(parts[0]), port)
    }
    guard let address else {
      guard details == nil else { throw ResourceError("spec.llm_host", expected: "the LLM's host name, with `llm`") }
      return nil
    }
    self.isTLS = isTLS
    (host, port) = address
    basePath = try details?.optional("basePath", "a path that begins with /", URLPath.read) ?? "/v1"
    if let details, details.has("apiKeySecret") {
      let key = try ResourceFields(details["apiKeySecret"], at: "spec.llm.apiKeySecret", known: ["name", "key"])
      apiKey = MultiAgentSystem.SecretKey(
        name: try key.required("name", "a Secret's name") { ObjectMetadata.isSubdomain($0) ? $0 : nil },
        key: try key.required("key", "a key of the Secret: letters, digits, -, _ and .") { text in
          let isKey =
            (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
              switch byte {
              case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
              default: false
              }
            }
          return isKey ? text : nil
        })
    } else {
      apiKey = nil
    }
  }
}

extension MultiAgentSystem.App {
  fileprivate init(_ value: JSONValue, at path: String, in namespace: String) throws(ResourceError) {
    let fields = try ResourceFields(
      value, at: path,
      known: [
        "name", "type", "baseUrl", "kubernetesWorkloadName", "httpRequestSchema", "containerPort", "allowedMethods",
        "calls",
      ])
    name = try fields.required("name", Name.expectedOfApp) { Name(app: $0) }
    let kinds = AppKind.allCases.map(\.rawValue).joined(separator: ", ")
    kind = try fields.required("type", kinds) { AppKind(rawValue: $0) }
    workloadName = try fields.optional("kubernetesWorkloadName", "a workload's name") {
      ObjectMetadata.isSubdomain($0) ? $0 : nil
    }
    if fields.has("httpRequestSchema") {
      let schema = try ResourceFields(
        fields["httpRequestSchema"], at: fields.path(of: "httpRequestSchema"), known: ["promptFieldJsonPath"])
      promptJSONPath = try schema.optional("promptFieldJsonPath", "a path such as $.prompt") {
        JSONPath($0) == nil ? nil : $0
      }
    } else {
      promptJSONPath = nil
    }
    allowedMethods = try fields.texts("allowedMethods", atMost: 64, "a method of MCP that is refused by default") {
      MCPMethod($0)?.methodClass == .restricted ? $0 : nil
    }
    calls =
      fields.has("calls")
      ? try fields.texts("calls", atMost: MultiAgentSystem.maximumApps, Name.expectedOfApp) { Name(app: $0) } : nil
    let port = try fields.port("containerPort")
    if fields.has("baseUrl") {
      let url = try ResourceFields(
        fields["baseUrl"], at: fields.path(of: "baseUrl"), known: ["scheme", "host", "path"])
      let isTLS = try url.optional("scheme", "http or https") { ["http": false, "https": true][$0] } ?? false
      guard !isTLS else {
        throw ResourceError(
          url.path(of: "scheme"),
          expected: "http: the sidecars speak with each other over the cluster's own encryption",
          got: "https")
      }
      let service = try url.required("host", "a Service of the namespace \(namespace), such as bank:8080") {
        ServiceAddress($0, from: namespace, defaultPort: 80)
      }
      // Otherwise one namespace's object would speak of another's workload, or lead the runtime anywhere.
      guard service.namespace == namespace else {
        throw ResourceError(
          url.path(of: "host"), expected: "a Service of the namespace \(namespace)", got: service.description)
      }
      entrance = MultiAgentSystem.Entrance(
        service: service,
        path: try url.optional("path", "a path that begins with /", URLPath.read)
          ?? (kind == .mcpServer ? "/mcp" : "/"),
        containerPort: port ?? service.port)
    } else {
      guard kind == .client, port == nil else {
        throw ResourceError(fields.path(of: "baseUrl"), expected: "where the \(kind.rawValue) is called")
      }
      entrance = nil
    }
  }
}
