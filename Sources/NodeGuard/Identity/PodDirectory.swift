/// Who knows the pods of this machine.
public protocol PodDirectory: Sendable {
  /// All pods that run or are about to run here.
  func pods() async throws -> [PodMetadata]
}

/// What the workloads of a pod are found by.
public struct PodMetadata: Sendable, Hashable {
  /// As the API server has it, with hyphens.
  public let uid: String
  public let namespace: String
  public let name: String
  /// The names of the containers, by the id that the container runtime gave them (64 hexadecimal digits).
  public let containers: [String: String]

  public init(uid: String, namespace: String, name: String, containers: [String: String]) {
    self.uid = uid
    self.namespace = namespace
    self.name = name
    self.containers = containers
  }
}
