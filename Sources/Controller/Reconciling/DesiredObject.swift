import CASACore

/// An object that the cluster should have.
struct DesiredObject: Sendable, Hashable {
  let resource: KubernetesResource
  let key: ObjectKey
  let json: JSONValue

  /// - Parameter owner: with which it is deleted.
  /// - Throws: `KubernetesError.invalid` for a kind that the controller does not make.
  init(manifest: JSONValue, owner: OwnerReference) throws(KubernetesError) {
    let version = manifest["apiVersion"]?.string
    let kind = manifest["kind"]?.string
    guard let resource = KubernetesResource.all.first(where: { $0.apiVersion == version && $0.kind == kind }) else {
      throw .invalid("the controller makes no \(version ?? "") \(kind ?? "")")
    }
    self.resource = resource
    key = try KubernetesObject(json: manifest).key
    var members = manifest.object ?? [:]
    var metadata = members["metadata"]?.object ?? [:]
    var labels = metadata["labels"]?.object ?? [:]
    labels[SystemReconciler.managedByLabel] = .string(SystemReconciler.managedBy)
    metadata["labels"] = .object(labels)
    metadata["ownerReferences"] = [owner.json]
    members["metadata"] = .object(metadata)
    json = .object(members)
  }
}
