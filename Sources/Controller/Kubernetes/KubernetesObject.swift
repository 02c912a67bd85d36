import AgentProtocols
package import CASACore

/// One object of the API server, as its JSON.
package struct KubernetesObject: Sendable, Hashable {
  package let json: JSONValue
  package let key: ObjectKey

  /// - Throws: `KubernetesError.malformed` when there is no `metadata.name`.
  package init(json: JSONValue) throws(KubernetesError) {
    guard let name = json["metadata"]?["name"]?.string, !name.isEmpty else {
      throw .malformed("expected an object with metadata.name")
    }
    self.json = json
    let namespace = json["metadata"]?["namespace"]?.string
    key = ObjectKey(namespace: namespace?.isEmpty == true ? nil : namespace, name: name)
  }

  package subscript(name: String) -> JSONValue? { json[name] }

  package var name: String { key.name }
  package var namespace: String? { key.namespace }
  package var metadata: JSONValue { json["metadata"] ?? .null }
  package var apiVersion: String { json["apiVersion"]?.string ?? "" }
  package var kind: String { json["kind"]?.string ?? "" }
  package var uid: String? { metadata["uid"]?.string }
  package var resourceVersion: String? { metadata["resourceVersion"]?.string }
  package var generation: Int64? { metadata["generation"]?.integer }
  package var labels: [String: String] { Self.texts(metadata["labels"]) }
  package var annotations: [String: String] { Self.texts(metadata["annotations"]) }
  package var finalizers: [String] { metadata["finalizers"]?.array?.compactMap(\.string) ?? [] }
  package var creationTimestamp: Timestamp? { metadata["creationTimestamp"]?.string.flatMap { Timestamp(rfc3339: $0) } }
  package var deletionTimestamp: String? { metadata["deletionTimestamp"]?.string }
  /// Whether it only waits for its finalizers.
  package var isBeingDeleted: Bool { deletionTimestamp != nil }
  package var ownerReferences: [OwnerReference] {
    metadata["ownerReferences"]?.array?.compactMap { OwnerReference(json: $0) } ?? []
  }
  /// The owner that controls it; there is one at most.
  package var controller: OwnerReference? { ownerReferences.first(where: \.isController) }

  private static func texts(_ value: JSONValue?) -> [String: String] {
    value?.object?.compactMapValues(\.string) ?? [:]
  }
}

/// Who an object belongs to: it is deleted with its owners.
package struct OwnerReference: Sendable, Hashable {
  package let apiVersion: String
  package let kind: String
  package let name: String
  package let uid: String
  package let isController: Bool

  /// That `owner` controls the object.
  /// - Returns: nil when the owner has no uid, so was not read from the API server.
  package init?(controlledBy owner: KubernetesObject, of resource: KubernetesResource) {
    guard let uid = owner.uid else { return nil }
    (apiVersion, kind, name, isController) = (resource.apiVersion, resource.kind, owner.name, true)
    self.uid = uid
  }

  /// nil for what lacks one of `apiVersion`, `kind`, `name` and `uid`.
  package init?(json: JSONValue) {
    guard let apiVersion = json["apiVersion"]?.string, let kind = json["kind"]?.string,
      let name = json["name"]?.string, let uid = json["uid"]?.string
    else { return nil }
    (self.apiVersion, self.kind, self.name, self.uid) = (apiVersion, kind, name, uid)
    isController = json["controller"]?.bool == true
  }

  package var json: JSONValue {
    [
      "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(name), "uid": .string(uid),
      "controller": .bool(isController), "blockOwnerDeletion": .bool(isController),
    ]
  }
}
