public import CASACore

/// A machine whose node guard reports which connections it saw. It belongs to no MAS, since workloads of several may
/// run there, and gets no tokens.
public struct Node: Sendable {
  public let id: NodeID
  public let name: NodeName
  public let createdAt: Timestamp
  var secret: HashedSecret

  /// Without the secret, which is shown once.
  public var json: JSONValue {
    ["id": .string(id.rawValue), "name": .string(name.text), "created_at": .string(createdAt.rfc3339)]
  }
}
