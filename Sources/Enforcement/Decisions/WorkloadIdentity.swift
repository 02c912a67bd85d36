public import AgentProtocols
public import CASACore

/// Who the workload is and whom it may call, as the runtime knows it.
public struct WorkloadIdentity: Sendable {
  public struct Peer: Sendable {
    public let id: AppID
    public let kind: AppKind
    /// Of an MCP server: its approved tools with their definitions' digests.
    public let tools: [ToolName: String]
    /// Of an MCP server: the methods beside tools that are let through to it.
    public let methods: Set<String>
  }

  public let id: AppID
  public let masID: MASID
  public let name: Name
  public let kind: AppKind
  public let promptJSONPath: JSONPath?
  /// Of an MCP server: the methods beside tools that are let through to it.
  public let methods: Set<String>
  public let peers: [Name: Peer]
  /// How tokens name the workload as the one they are for.
  let audience: String
  /// What it was read from.
  public let json: JSONValue

  /// nil when the runtime's description is not one.
  public init?(_ json: JSONValue) {
    guard let id = json["id"]?.string.flatMap({ AppID(validating: $0) }),
      let masID = json["mas_id"]?.string.flatMap({ MASID(validating: $0) }),
      let name = json["name"]?.string.flatMap({ Name($0) }),
      let kind = json["kind"]?.string.flatMap({ AppKind(rawValue: $0) }), let list = json["peers"]?.array,
      let methods = Self.methods(json)
    else { return nil }
    var peers: [Name: Peer] = [:]
    for element in list {
      guard let id = element["id"]?.string.flatMap({ AppID(validating: $0) }),
        let name = element["name"]?.string.flatMap({ Name($0) }),
        let kind = element["kind"]?.string.flatMap({ AppKind(rawValue: $0) }), let methods = Self.methods(element)
      else { return nil }
      var tools: [ToolName: String] = [:]
      for (tool, digest) in element["tools"]?.object ?? [:] {
        guard let tool = ToolName(tool), let digest = digest.string else { return nil }
        tools[tool] = digest
      }
      peers[name] = Peer(id: id, kind: kind, tools: tools, methods: methods)
    }
    self.id = id
    self.masID = masID
    self.name = name
    self.kind = kind
    self.methods = methods
    self.peers = peers
    self.json = json
    audience = Audience.app(id)
    promptJSONPath = json["prompt_json_path"]?.string.flatMap { JSONPath($0) }
  }

  private static func methods(_ json: JSONValue) -> Set<String>? {
    switch json["allowed_methods"] {
    case nil, .null?: return []
    case .array(let list)?:
      let names = list.compactMap(\.string)
      return names.count == list.count ? Set(names) : nil
    default: return nil
    }
  }
}
