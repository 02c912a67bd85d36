import CASACore

/// Sees to it that an object of CASA's own kinds is about workloads of its own namespace.
public enum TargetValidation {
  public static func response(to review: AdmissionReview) -> AdmissionResponse {
    do throws(AdmissionRefusal) {
      if review.operation != .delete, let object = review.object { try requireOwnNamespace(object) }
      return AdmissionResponse(uid: review.uid, .allowed(patch: []))
    } catch {
      return AdmissionResponse(uid: review.uid, .refused(error))
    }
  }

  /// - Parameter object: a `CASAPolicy` or a `MultiAgentSystem`.
  /// - Throws: `AdmissionRefusal` when it names a workload in a way that could lead to another namespace.
  static func requireOwnNamespace(_ object: JSONValue) throws(AdmissionRefusal) {
    let spec = try Fields(object, at: "").fields("spec")
    if let target = try spec.optionalFields("targetRef") {
      for name in target.members.keys.sorted() where !["kind", "name"].contains(name) {
        throw AdmissionRefusal(
          "\(target.place(name.bounded(to: 63))) must be left out: a policy is for its own namespace")
      }
      try requireName(try target.string("name") ?? "", at: target.place("name"))
    }
    for app in try spec.list("apps") {
      if let name = try app.string("kubernetesWorkloadName") {
        try requireName(name, at: app.place("kubernetesWorkloadName"))
      }
    }
  }

  private static func requireName(_ name: String, at place: String) throws(AdmissionRefusal) {
    guard WorkloadName.isName(name) else {
      throw AdmissionRefusal("\(place) must be a workload's name without a namespace; got '\(name.bounded(to: 64))'")
    }
  }
}
