import CASACore
import Sidecar

/// The webhook that makes pods guarded ones, as a pure function.
public enum PodInjection {
  /// What has to be changed in a pod that is about to be made, or why it may not be made.
  ///
  /// Asked again about what it made, as the API server does when other webhooks changed something, it changes nothing.
  /// What looks injected and isn't exactly so is refused.
  public static func patch(for review: AdmissionReview, configuration: InjectionConfiguration) -> AdmissionResponse {
    do throws(AdmissionRefusal) {
      return AdmissionResponse(uid: review.uid, .allowed(patch: try operations(review, configuration)))
    } catch {
      return AdmissionResponse(uid: review.uid, .refused(error))
    }
  }

  private static func operations(
    _ review: AdmissionReview, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) -> [JSONPatchOperation] {
    guard review.resource.group.isEmpty, review.resource.resource == "pods" else {
      throw AdmissionRefusal(
        "/mutate is for pods; got \(review.resource.resource): mend the webhook's rules", code: 400)
    }
    guard review.resource.subresource == nil else {
      // Nothing of an existing pod is changed: whether it may be is the validation's to say.
      try PodValidation.check(review, configuration)
      return []
    }
    guard review.operation == .create, let pod = review.object else { return [] }
    guard review.resource.kind == "Pod" else {
      throw AdmissionRefusal(malformed: "request.kind", expected: "Pod")
    }
    guard configuration.mode == .cilium else { return try IstioRules.preparation(of: pod, named: review.name) }
    let guarded = GuardedPod(configuration: configuration, name: review.name)
    if try GuardedPod.bearsMarks(pod) {
      try PodValidation.requireGuarded(pod, guarded)
      try PodRules(configuration: configuration).require(pod)
      return []
    }
    let made = try guarded.guarded(pod)
    try PodRules(configuration: configuration).require(made)
    return steps(from: pod, to: made)
  }

  /// The steps that make `made`, which `GuardedPod` made of it, from `pod`.
  static func steps(from pod: JSONValue, to made: JSONValue) -> [JSONPatchOperation] {
    var steps: [JSONPatchOperation] = []
    func set(_ place: [String], _ old: JSONValue?, _ new: JSONValue?) {
      guard let new, old != new else { return }
      steps.append(JSONPatchOperation(old == nil ? .add : .replace, at: place, new))
    }
    for list in GuardedPod.containerLists {
      let old = pod["spec"]?[list]?.array ?? []
      let new = made["spec"]?[list]?.array ?? []
      let inserted = new.count - old.count
      for (index, container) in old.enumerated() {
        for member in ["securityContext"] + WorkloadProbes.Kind.allCases.map(\.member) {
          set(["spec", list, "\(index)", member], container[member], new[index + inserted][member])
        }
      }
      guard pod["spec"]?[list]?.array != nil else {
        set(["spec", list], pod["spec"]?[list], .array(new))
        continue
      }
      for index in 0..<inserted {
        steps.append(JSONPatchOperation(.add, at: ["spec", list, "\(index)"], new[index]))
      }
    }
    let volumes = made["spec"]?["volumes"]?.array ?? []
    if let old = pod["spec"]?["volumes"]?.array {
      for volume in volumes.dropFirst(old.count) {
        steps.append(JSONPatchOperation(.add, at: ["spec", "volumes", "-"], volume))
      }
    } else {
      set(["spec", "volumes"], pod["spec"]?["volumes"], .array(volumes))
    }
    set(["spec", "securityContext"], pod["spec"]?["securityContext"], made["spec"]?["securityContext"])
    guard pod["metadata"]?.object != nil else {
      set(["metadata"], pod["metadata"], made["metadata"])
      return steps
    }
    var whole: Set<String> = []
    for (member, name) in InjectedParts.marks {
      let old = pod["metadata"]?[member]
      if old?.object != nil {
        set(["metadata", member, name], old?[name], made["metadata"]?[member]?[name])
      } else if whole.insert(member).inserted {
        set(["metadata", member], old, made["metadata"]?[member])
      }
    }
    return steps
  }
}
