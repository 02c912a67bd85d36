import AgentProtocols
import CASACore

@testable import Injection

/// Reads the input as a review at both webhooks, and applies what is answered.
@Sendable func fuzzAdmissionReview(_ bytes: [UInt8]) {
  for mode in InjectionConfiguration.Mode.allCases {
    for isNative in [true, false] {
      var configuration = InjectionConfiguration(mode: mode, image: "registry.example/casa:1")
      configuration.usesNativeSidecars = isNative
      configuration.istioProxyImage = "istio/proxyv2:1"
      for webhook in Admission.Webhook.allCases {
        requireSoundAnswer(to: bytes, by: webhook, configuration)
      }
    }
  }
}

private func requireSoundAnswer(
  to bytes: [UInt8], by webhook: Admission.Webhook, _ configuration: InjectionConfiguration
) {
  let admission = Admission(configuration: configuration)
  guard let answer = try? admission.response(to: bytes, by: webhook) else { return }
  let json = accepted(bytes, limits: AdmissionReview.limits)
  require(json["request"]?["uid"]?.string == answer.uid, "an answer is for who asked")
  let text = answer.json.canonicalBytes
  require((try? JSONValue(parsing: text, limits: .generous)) == answer.json, "an answer is strict JSON")
  switch answer.outcome {
  case .refused(let refusal):
    require(!refusal.reasons.isEmpty && refusal.description.utf8.count < 8192, "a refusal has bounded reasons")
  case .allowed(let patch):
    guard webhook == .mutate else {
      require(patch.isEmpty, "validation changes nothing")
      return
    }
    // In Istio's mode a pod is prepared once, before Istio's own webhook.
    guard !patch.isEmpty, configuration.mode == .cilium, let review = try? AdmissionReview(parsing: bytes),
      let pod = review.object
    else { return }
    // What was answered leads, asked again, to no change, and passes validation.
    let guarded = GuardedPod(configuration: configuration, name: review.name)
    guard let made = try? guarded.guarded(pod) else {
      require(false, "a pod with a patch can be guarded")
      return
    }
    require(PodInjection.steps(from: pod, to: made) == patch, "the patch is the same each time")
    guard let request = json["request"] else { return }
    let next = json.setting("request", to: request.setting("object", to: made)).canonicalBytes
    guard let again = try? admission.response(to: next, by: .mutate),
      let checked = try? admission.response(to: next, by: .validate)
    else {
      require(false, "what is guarded can be asked about")
      return
    }
    require(again.outcome == .allowed(patch: []), "what is guarded is guarded once")
    require(checked.isAllowed, "what is guarded passes validation")
  }
}
