public import CASACore
public import Traces

/// Somebody who may read traces and nothing else, of some systems or of all.
public struct Reader: Sendable {
  public let id: ReaderID
  public let name: Name
  public let createdAt: Timestamp
  /// nil for all.
  public let systems: Set<MASID>?
  public let readsPrompts: Bool
  var secret: HashedSecret

  public var access: ReadAccess { ReadAccess(name: name.text, systems: systems, readsPrompts: readsPrompts) }

  /// Without the credential, which is shown once.
  public var json: JSONValue {
    var members = configuration
    members["id"] = .string(id.rawValue)
    members["name"] = .string(name.text)
    members["created_at"] = .string(createdAt.rfc3339)
    return .object(members)
  }

  var configuration: [String: JSONValue] {
    [
      "mas_ids": systems.map { .array($0.map(\.rawValue).sorted().map(JSONValue.string)) } ?? .null,
      "reads_prompts": .bool(readsPrompts),
    ]
  }

  /// What a reader sends as a bearer token: its id and its secret in one.
  public func credential(_ secret: ClientSecret) -> String { id.rawValue + "." + secret.text }

  init(id: ReaderID, name: Name, createdAt: Timestamp, json: JSONValue, secret: HashedSecret) throws(InvalidField) {
    self.id = id
    self.name = name
    self.createdAt = createdAt
    self.secret = secret
    switch json["mas_ids"] {
    case nil, .null?: systems = nil
    case let value?:
      guard let list = value.array, list.count <= 1000 else {
        throw InvalidField("mas_ids", expected: "an array of at most 1000 ids of systems, or null for all")
      }
      var ids: Set<MASID> = []
      for element in list {
        guard let id = element.string.flatMap({ MASID(validating: $0) }) else {
          throw InvalidField("mas_ids", expected: "ids of systems")
        }
        ids.insert(id)
      }
      systems = ids
    }
    guard let readsPrompts = (json["reads_prompts"] ?? false).bool else {
      throw InvalidField("reads_prompts", expected: "true or false")
    }
    self.readsPrompts = readsPrompts
  }
}
