public import CASACore

/// What one workload may reach: the custom resource `casapolicies.casa.io`.
public struct CASAPolicy: Sendable, Hashable {
  public static let kind = "CASAPolicy"

  public let metadata: ObjectMetadata
  public let target: Target
  public let allowedProtocols: Set<AllowedProtocol>
  public let allowedEndpoints: [ServiceAddress]
  public let llmEndpoint: LLMEndpoint?
  /// Names it may resolve beside those of what it may reach. `*.x` is all below x, and x.
  public let allowedNames: [String]

  /// A workload of the policy's own namespace.
  public struct Target: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
      case deployment = "Deployment"
      case statefulSet = "StatefulSet"
      case pod = "Pod"
    }

    public let kind: Kind
    public let name: String
  }

  public enum AllowedProtocol: String, Sendable, Hashable, CaseIterable { case mcp, a2a, http }

  /// The one LLM host.
  public struct LLMEndpoint: Sendable, Hashable {
    /// In lower case.
    public let fqdn: String
    public let port: Int
  }
}

extension CASAPolicy {
  /// - Parameters:
  ///   - json: the object as the API server has it.
  ///   - defaultNamespace: of an object from a file that names none.
  /// - Throws: `ResourceError` that names the path of what is wrong.
  public init(json: JSONValue, defaultNamespace: String = "default") throws(ResourceError) {
    metadata = try ObjectMetadata(json: json["metadata"], defaultNamespace: defaultNamespace)
    let spec = try ResourceFields(
      json["spec"], at: "spec", known: ["targetRef", "allowedProtocols", "allowedEndpoints", "llmEndpoint", "dns"])
    let name = { (text: String) in ObjectMetadata.isSubdomain(text) ? text : nil }
    let target = try ResourceFields(spec["targetRef"], at: "spec.targetRef", known: ["kind", "name"])
    let kinds = Target.Kind.allCases.map(\.rawValue).joined(separator: ", ")
    self.target = Target(
      kind: try target.required("kind", kinds) { Target.Kind(rawValue: $0) },
      name: try target.required("name", "a workload's name", name))
    let protocols = AllowedProtocol.allCases.map(\.rawValue).joined(separator: ", ")
    allowedProtocols = Set(
      try spec.texts("allowedProtocols", atMost: 8, "one of \(protocols)") { AllowedProtocol(rawValue: $0) })
    var endpoints: [ServiceAddress] = []
    for (path, element) in try spec.list("allowedEndpoints", atMost: 64) {
      let fields = try ResourceFields(element, at: path, known: ["name", "namespace", "port"])
      guard let port = try fields.port("port") else {
        throw ResourceError("\(path).port", expected: "a port from 1 to 65535")
      }
      endpoints.append(
        ServiceAddress(
          namespace: try fields.optional("namespace", "a namespace") { Name($0)?.text } ?? metadata.namespace,
          name: try fields.required("name", "a Service's name") { Name($0)?.text }, port: port))
    }
    allowedEndpoints = endpoints
    if spec.has("llmEndpoint") {
      let fields = try ResourceFields(spec["llmEndpoint"], at: "spec.llmEndpoint", known: ["fqdn", "port"])
      llmEndpoint = LLMEndpoint(
        fqdn: try fields.required("fqdn", "exactly one host name, such as api.openai.com") { text in
          let name = text.lowercased()
          let labels = name.split(separator: ".", omittingEmptySubsequences: false)
          // An IP address is no name, and the last label of one is digits only.
          guard ObjectMetadata.isSubdomain(name), let last = labels.last, !last.allSatisfy(\.isNumber) else {
            return nil
          }
          return name
        },
        port: try fields.port("port") ?? 443)
    } else {
      llmEndpoint = nil
    }
    if spec.has("dns") {
      let fields = try ResourceFields(spec["dns"], at: "spec.dns", known: ["allowedNames"])
      allowedNames = try fields.texts("allowedNames", atMost: 64, "a host name, or *. and one") { text in
        let name = text.lowercased()
        let rest = name.hasPrefix("*.") ? String(name.dropFirst(2)) : name
        return ObjectMetadata.isSubdomain(rest) && rest.contains(".") ? name : nil
      }
    } else {
      allowedNames = []
    }
  }
}
