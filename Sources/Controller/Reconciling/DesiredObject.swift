import CASACore
import ClusterObjects

/// An object that the cluster should have.
struct DesiredObject: Sendable, Hashable {
  let resource: KubernetesResource
  let key: ObjectKey
  let json: JSONValue

  /// - Throws: `KubernetesError.invalid` for a kind that the client does not know.
  init(_ object: ClusterObject) throws(KubernetesError) {
    guard let resource = KubernetesResource.of(apiVersion: object.apiVersion, kind: object.kind) else {
      throw .invalid("the controller makes no \(object.apiVersion) \(object.kind)")
    }
    self.resource = resource
    key = ObjectKey(namespace: object.namespace, name: object.name)
    json = object.json
  }

  /// A Secret.
  init(secret key: ObjectKey, annotations: [String: String], data: [String: String], owner: OwnerReference) {
    resource = .secrets
    self.key = key
    json = [
      "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
      "metadata": [
        "name": .string(key.name), "namespace": key.namespace.map(JSONValue.string) ?? .null,
        "labels": .object([ClusterObject.managedBy.key: .string(ClusterObject.managedBy.value)]),
        "annotations": .object(annotations.mapValues(JSONValue.string)), "ownerReferences": [owner.json],
      ],
      "data": .object(data.mapValues(JSONValue.string)),
    ]
  }
}

extension KubernetesResource {
  /// The resource of objects of a kind; nil for one that is not known here.
  static func of(apiVersion: String, kind: String) -> KubernetesResource? {
    all.first { $0.apiVersion == apiVersion && $0.kind == kind }
  }
}
