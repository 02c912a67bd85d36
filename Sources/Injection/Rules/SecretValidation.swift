import CASACore

/// Sees to it that only the controller writes what sidecars prove who they are with.
public enum SecretValidation {
  /// Who deletes what nothing owns any more, and what is in a namespace that goes.
  private static let collectors: Set<String> = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
  ]

  public static func response(to review: AdmissionReview, configuration: InjectionConfiguration) -> AdmissionResponse {
    do throws(AdmissionRefusal) {
      try check(review, configuration)
      return AdmissionResponse(uid: review.uid, .allowed(patch: []))
    } catch {
      return AdmissionResponse(uid: review.uid, .refused(error))
    }
  }

  private static func check(
    _ review: AdmissionReview, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) {
    var names = [review.name]
    for object in [review.object, review.oldObject] {
      guard let object else { continue }
      let metadata = try Fields(object, at: "").fields("metadata")
      names.append(try metadata.string("name") ?? "")
      names.append(try metadata.string("generateName") ?? "")
    }
    guard names.contains(where: { $0.hasPrefix(WorkloadName.secretPrefix) }) else { return }
    if review.user.name == configuration.controller { return }
    if review.operation == .delete, collectors.contains(review.user.name) { return }
    throw AdmissionRefusal(
      "Secrets named \(WorkloadName.secretPrefix)* are written by \(configuration.controller) alone")
  }
}
