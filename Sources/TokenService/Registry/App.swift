import AgentProtocols
public import CASACore

/// A workload of a MAS and, at the token endpoint, a client.
public struct App: Sendable {
  public let id: AppID
  public let masID: MASID
  public let name: Name
  public let kind: AppKind
  public let createdAt: Timestamp
  public var settings: Settings
  var secret: HashedSecret?
  /// The client's public keys for `private_key_jwt`, as a JWK set.
  public var jwks: JSONValue?

  /// What an administrator may change.
  public struct Settings: Sendable, Hashable {
    /// Where the app is reached: for an MCP server the URL of its MCP endpoint.
    public var baseURL: String?
    /// Where a request to this app carries the user's input, when it is not an A2A message.
    public var promptJSONPath: String?
    /// MCP methods beside tools that are let through to this server: resources, prompts and the like.
    public var allowedMethods: [String] = []

    public init(baseURL: String? = nil, promptJSONPath: String? = nil) {
      self.baseURL = baseURL
      self.promptJSONPath = promptJSONPath
    }
  }

  /// The key an assertion names, or the only one there is.
  func assertionKey(kid: String?) -> VerifyingKey? {
    guard let keys = jwks?["keys"]?.array else { return nil }
    let candidates = kid.map { kid in keys.filter { $0["kid"]?.string == kid } } ?? keys
    guard candidates.count == 1 else { return nil }
    return VerifyingKey(jwk: candidates[0])
  }

  /// Without the secret, which is shown once.
  public var json: JSONValue {
    var members = settings.json
    members["id"] = .string(id.rawValue)
    members["client_id"] = .string(id.rawValue)
    members["mas_id"] = .string(masID.rawValue)
    members["name"] = .string(name.text)
    members["kind"] = .string(kind.rawValue)
    members["created_at"] = .string(createdAt.rfc3339)
    members["token_endpoint_auth_methods"] = .array(
      (secret == nil ? [] : ["client_secret_basic", "client_secret_post"]) + (jwks == nil ? [] : ["private_key_jwt"]))
    return .object(members)
  }
}

extension App.Settings {
  public var json: [String: JSONValue] {
    [
      "base_url": baseURL.map(JSONValue.string) ?? .null,
      "prompt_json_path": promptJSONPath.map(JSONValue.string) ?? .null,
      "allowed_methods": .array(allowedMethods.map(JSONValue.string)),
    ]
  }

  /// - Throws: `InvalidField` naming the member that is wrong.
  public init(json: JSONValue) throws(InvalidField) {
    self.init()
    if let value = json["base_url"], value != .null {
      guard let text = value.string, text.utf8.count <= 2048, Self.isHTTPURL(text) else {
        throw InvalidField("base_url", expected: "an http or https URL of at most 2048 characters")
      }
      baseURL = text
    }
    if let value = json["prompt_json_path"], value != .null {
      guard let text = value.string, JSONPath(text) != nil else {
        throw InvalidField("prompt_json_path", expected: "a path such as $.prompt or $.messages[0].content")
      }
      promptJSONPath = text
    }
    if let value = json["allowed_methods"], value != .null {
      guard let list = value.array, list.count <= 64 else {
        throw InvalidField("allowed_methods", expected: "an array of at most 64 MCP methods")
      }
      for element in list {
        guard let method = element.string.flatMap({ MCPMethod($0) }), method.methodClass == .restricted,
          !allowedMethods.contains(method.name)
        else {
          throw InvalidField(
            "allowed_methods",
            expected: "methods of MCP that are refused by default, such as resources/read or prompts/get, each once")
        }
        allowedMethods.append(method.name)
      }
    }
  }

  /// Printable ASCII only, a host, no user name, no fragment.
  private static func isHTTPURL(_ text: String) -> Bool {
    guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }), !text.contains("#"), !text.contains("@") else {
      return false
    }
    for scheme in ["http://", "https://"] where text.hasPrefix(scheme) {
      let rest = text.dropFirst(scheme.count)
      return !rest.isEmpty && rest.first != "/" && rest.first != ":"
    }
    return false
  }
}
