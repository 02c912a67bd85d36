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
  ///   - owners: the objects with which it goes.
  ///   - members: what it has beside `metadata`: `spec` and the like.
  init(
    _ apiVersion: String, _ kind: String, namespace: String, name: String, labels: [String: String] = [:],
    owners: [MultiAgentSystem], _ members: [String: JSONValue]
  ) {
    self.apiVersion = apiVersion
    self.kind = kind
    self.namespace = namespace
    self.name = WorkloadLabel.shortened(name, to: 253)
    var metadata: [String: JSONValue] = [
      "namespace": .string(namespace), "name": .string(self.name),
      "labels": Self.texts(labels.merging([Self.managedBy.key: Self.managedBy.value]) { $1 }),
    ]
    let references = Self.references(to: owners)
    if !references.isEmpty { metadata["ownerReferences"] = .array(references) }
    var json = members
    (json["apiVersion"], json["kind"], json["metadata"]) = (.string(apiVersion), .string(kind), .object(metadata))
    self.json = .object(json)
  }

  /// Of objects that the API server has; one from a file owns nothing.
  private static func references(to owners: [MultiAgentSystem]) -> [JSONValue] {
    owners.compactMap { owner in
      owner.metadata.uid.map { uid in
        [
          "apiVersion": .string(Resource.apiVersion), "kind": .string(MultiAgentSystem.kind),
          "name": .string(owner.metadata.name), "uid": .string(uid), "controller": .bool(owners.count == 1),
          "blockOwnerDeletion": false,
        ]
      }
    }
  }

  static func texts(_ members: [String: String]) -> JSONValue { .object(members.mapValues(JSONValue.string)) }
}

extension JSONValue {
  /// A whole number.
  static func whole(_ number: Int) -> JSONValue { .number(Double(number)) }

  static func texts(_ elements: some Sequence<String>) -> JSONValue { .array(elements.map(JSONValue.string)) }
}
