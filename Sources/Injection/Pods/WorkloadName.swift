import CASACore

/// The workload that a pod is of, by the name that a `MultiAgentSystem` gives it.
public enum WorkloadName {
  static let secretPrefix = "casa-workload-"

  /// The Deployment's or StatefulSet's name, else the pod's own.
  ///
  /// Nobody vouches for an owner's name: whoever may create pods in a namespace can write any. That gives them a
  /// workload of the same namespace, which is the boundary of trust.
  /// - Parameter pod: as the API server has it at its creation, possibly without a name of its own.
  /// - Throws: `AdmissionRefusal` when there is no name to go by.
  static func of(_ pod: Fields, named name: String) throws(AdmissionRefusal) -> String {
    let metadata = try pod.fields("metadata")
    var controllers: [Fields] = []
    for owner in try metadata.list("ownerReferences") where try owner.bool("controller") == true {
      controllers.append(owner)
    }
    guard controllers.count < 2 else {
      throw AdmissionRefusal("metadata.ownerReferences must name one controller; got \(controllers.count)")
    }
    var found = try metadata.string("name") ?? name
    if let owner = controllers.first, try owner.string("apiVersion")?.hasPrefix("apps/") == true {
      let ownerName = try owner.string("name") ?? ""
      switch try owner.string("kind") {
      case "ReplicaSet":
        if let hash = try metadata.texts("labels")["pod-template-hash"], !hash.isEmpty,
          ownerName.hasSuffix("-" + hash)
        {
          found = String(ownerName.dropLast(hash.count + 1))
        }
      case "StatefulSet": found = ownerName
      default: break
      }
    }
    guard !found.isEmpty else {
      throw AdmissionRefusal(
        "a pod that no Deployment or StatefulSet makes needs metadata.name, by which its workload is known")
    }
    guard isName(found), found.utf8.count + secretPrefix.utf8.count <= 253 else {
      throw AdmissionRefusal("the workload's name '\(found.bounded(to: 64))' must be a DNS name of at most 239 bytes")
    }
    return found
  }

  /// Whether `text` may name an object (RFC 1123's subdomain).
  static func isName(_ text: String) -> Bool {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    return text.utf8.count <= 253
      && labels.allSatisfy { label in
        !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
          && label.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
          }
      }
  }
}
