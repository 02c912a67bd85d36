/// What both webhooks answer, by what they are asked about.
public struct Admission: Sendable {
  /// The path of a webhook.
  public enum Webhook: String, Sendable, Hashable, CaseIterable {
    case mutate, validate

    public var path: String { "/" + rawValue }
  }

  private let configuration: InjectionConfiguration

  public init(configuration: InjectionConfiguration) { self.configuration = configuration }

  /// - Throws: the reason, when the bytes are no review that could be answered.
  public func response(to bytes: [UInt8], by webhook: Webhook) throws(UnanswerableReview) -> AdmissionResponse {
    let review: AdmissionReview
    do throws(AdmissionReviewError) {
      review = try AdmissionReview(parsing: bytes)
    } catch {
      switch error {
      case .unanswerable(let reason): throw UnanswerableReview(description: reason)
      case .refused(let uid, let refusal): return AdmissionResponse(uid: uid, .refused(refusal))
      }
    }
    switch webhook {
    case .mutate: return PodInjection.patch(for: review, configuration: configuration)
    case .validate: return validated(review)
    }
  }

  /// Whatever is asked about and unknown here is refused: rules that lead it here are wrong.
  public func validated(_ review: AdmissionReview) -> AdmissionResponse {
    switch (review.resource.group, review.resource.resource) {
    case ("", "pods"): PodValidation.response(to: review, configuration: configuration)
    case ("", "namespaces"): NamespaceValidation.response(to: review, configuration: configuration)
    case ("", "secrets"): SecretValidation.response(to: review, configuration: configuration)
    case ("casa.io", _): TargetValidation.response(to: review)
    default:
      AdmissionResponse(
        uid: review.uid,
        .refused(
          AdmissionRefusal(
            "nothing is decided about \(review.resource.resource.bounded(to: 64)) here: mend the webhook's rules",
            code: 400)))
    }
  }
}

/// Why bytes are no review with somebody to answer.
public struct UnanswerableReview: Error, Sendable, Hashable, CustomStringConvertible {
  public let description: String
}
