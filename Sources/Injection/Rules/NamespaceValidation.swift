import CASACore

/// Sees to it that a namespace that is guarded stays so.
public enum NamespaceValidation {
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
    guard review.operation == .update, let new = review.object, let old = review.oldObject else { return }
    guard try isGuarded(old), !(try isGuarded(new)) else { return }
    guard configuration.exemptGroups.isDisjoint(with: review.user.groups) else { return }
    throw AdmissionRefusal(
      "metadata.labels[\(InjectedParts.injectionLabel)] must stay 'enabled': new pods would have no sidecar. A member "
        + "of \(configuration.exemptGroups.sorted().joined(separator: " or ")) may take it off")
  }

  private static func isGuarded(_ namespace: JSONValue) throws(AdmissionRefusal) -> Bool {
    try Fields(namespace, at: "").fields("metadata").texts("labels")[InjectedParts.injectionLabel] == "enabled"
  }
}
