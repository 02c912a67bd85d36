public import CASACore
import CustomResources

/// An object as the API server is to have it.
public struct ClusterObject: Sendable, Hashable {
  public let apiVersion: String
  public let kind: String
  public let namespace: String
  public let name: String
  public let json: JSONValue

  public static let managedBy = (key: "app.kubernetes.io/managed-by", value: "casa-controller")

  /// - Parameters:
  ///   - system: in whose namespace it is, and with which it goes.
  ///   - members: what it has beside `metadata`: `spec` and the like.
  init(
    _ apiVersion: String, _ kind: String, of system: ResolvedSystem, name: String, labels: [String: String] = [:],
    _ members: [String: JSONValue]
  ) {
    let owner = system.object.metadata
    self.apiVersion = apiVersion
    self.kind = kind
    self.namespace = owner.namespace
    self.name = WorkloadLabel.shortened(name, to: 253)
    var metadata: [String: JSONValue] = [
      "namespace": .string(namespace), "name": .string(self.name),
      "labels": Self.texts(labels.merging([Self.managedBy.key: Self.managedBy.value]) { $1 }),
    ]
    // One that was read from a file owns nothing.
    if let uid = owner.uid {
      metadata["ownerReferences"] = [
        [
          "apiVersion": .string(Resource.apiVersion), "kind": .string(MultiAgentSystem.kind),
          "name": .string(owner.name), "uid": .string(uid), "controller": true, "blockOwnerDeletion": true,
        ]
      ]
    }
    var json = members
    (json["apiVersion"], json["kind"], json["metadata"]) = (.string(apiVersion), .string(kind), .object(metadata))
    self.json = .object(json)
  }

  static func texts(_ members: [String: String]) -> JSONValue { .object(members.mapValues(JSONValue.string)) }
}

extension JSONValue {
  /// A whole number.
  static func whole(_ number: Int) -> JSONValue { .number(Double(number)) }

  static func texts(_ elements: some Sequence<String>) -> JSONValue { .array(elements.map(JSONValue.string)) }
}
