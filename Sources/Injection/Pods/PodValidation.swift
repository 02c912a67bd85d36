import CASACore

/// The webhook that lets into a guarded namespace only pods that are guarded, and keeps them so; a pure function.
public enum PodValidation {
  public static func response(to review: AdmissionReview, configuration: InjectionConfiguration) -> AdmissionResponse {
    do throws(AdmissionRefusal) {
      try check(review, configuration)
      return AdmissionResponse(uid: review.uid, .allowed(patch: []))
    } catch {
      return AdmissionResponse(uid: review.uid, .refused(error))
    }
  }

  /// - Throws: `AdmissionRefusal` for what may not be.
  static func check(_ review: AdmissionReview, _ configuration: InjectionConfiguration) throws(AdmissionRefusal) {
    switch (review.resource.subresource, review.operation) {
    case (nil, .create): try create(review, configuration)
    case (nil, .update), ("status", .update), ("resize", .update): try requireUnchanged(review, configuration)
    case ("ephemeralcontainers", .update): try ephemeral(review, configuration)
    case (_, .delete): return
    case (let subresource?, .connect): try connect(review, to: subresource, configuration)
    default:
      throw AdmissionRefusal(
        "nothing is decided about \(review.operation.rawValue) of pods/\(review.resource.subresource ?? ""): mend the "
          + "webhook's rules", code: 400)
    }
  }

  private static func create(
    _ review: AdmissionReview, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) {
    let pod = try object(review, "Pod")
    // Its own reasons say more than that it is not as it would be.
    try PodRules(configuration: configuration).require(pod)
    guard configuration.mode == .cilium else { return }
    try requireGuarded(pod, GuardedPod(configuration: configuration, name: review.name))
  }

  /// - Throws: `AdmissionRefusal` unless the pod is exactly as injection makes it now.
  static func requireGuarded(_ pod: JSONValue, _ guarded: GuardedPod) throws(AdmissionRefusal) {
    guard try GuardedPod.bearsMarks(pod) else {
      throw AdmissionRefusal(
        "the pod has no sidecar: the injecting webhook was not asked. See that it is registered and answers")
    }
    let expected = try guarded.guarded(try GuardedPod.bare(pod))
    if let place = GuardedPod.firstDifference(pod, from: expected) {
      throw AdmissionRefusal(
        "\(place.bounded(to: 160)) is not as injection makes it: leave out what is named casa-*, and give other "
          + "webhooks no reason to change it")
    }
  }

  /// A pod that exists keeps what injection made, whichever version of it that was.
  private static func requireUnchanged(
    _ review: AdmissionReview, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) {
    let new = try kept(try object(review, "Pod"), configuration)
    let old = try kept(review.oldObject ?? .null, configuration)
    for (place, value) in new.sorted(by: { $0.key < $1.key }) where old[place] != value {
      throw AdmissionRefusal("\(place.bounded(to: 160)) must stay as it is: it is the sidecar's. Make a new pod")
    }
    for place in old.keys.sorted() where new[place] == nil {
      throw AdmissionRefusal("\(place.bounded(to: 160)) must stay: it is the sidecar's. Make a new pod")
    }
  }

  /// What may not change in a pod, by place.
  private static func kept(
    _ pod: JSONValue, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) -> [String: JSONValue] {
    let fields = try Fields(pod, at: "")
    let metadata = try fields.fields("metadata")
    var kept: [String: JSONValue] = [:]
    for member in ["labels", "annotations"] {
      for (key, value) in try metadata.texts(member)
      where key.hasPrefix(InjectedParts.ownDomain) || key.contains("." + InjectedParts.ownDomain) {
        kept["metadata.\(member)[\(key)]"] = .string(value)
      }
    }
    let spec = try fields.fields("spec")
    for list in GuardedPod.containerLists + ["volumes"] {
      for element in try spec.list(list) {
        let name = try element.string("name") ?? ""
        if name.hasPrefix(InjectedParts.reservedPrefix)
          || configuration.mode == .istio && list != "volumes" && IstioRules.containerNames.contains(name)
        {
          kept["spec.\(list)[\(name)]"] = .object(element.members)
        }
      }
    }
    return kept
  }

  /// Containers that are put into a pod while it runs must keep to the same rules.
  private static func ephemeral(
    _ review: AdmissionReview, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) {
    try requireUnchanged(review, configuration)
    let pod = try Fields(try object(review, "Pod"), at: "")
    let spec = try pod.fields("spec")
    let before = try Fields(review.oldObject ?? .null, at: "oldObject").fields("spec").array("ephemeralContainers")
    var reasons: [String] = []
    for container in try spec.list("ephemeralContainers") where !before.contains(.object(container.members)) {
      reasons += try ContainerRules(configuration: configuration, spec: spec).reasons(container)
      let names = [try container.string("name") ?? "", try container.string("targetContainerName") ?? ""]
      if configuration.mode == .istio, names.contains(where: { IstioRules.containerNames.contains($0) }) {
        reasons.append("\(container.path) must not be, or look into, one of Istio's containers")
      }
    }
    guard reasons.isEmpty else { throw AdmissionRefusal(reasons) }
  }

  /// Somebody wants into a running pod.
  private static func connect(
    _ review: AdmissionReview, to subresource: String, _ configuration: InjectionConfiguration
  ) throws(AdmissionRefusal) {
    switch subresource {
    case "exec", "attach":
      let options = try Fields(
        try object(review, subresource == "exec" ? "PodExecOptions" : "PodAttachOptions"), at: "")
      let container = try options.string("container") ?? ""
      // Without a name it is the pod's only container, which is never ours.
      guard !container.hasPrefix(InjectedParts.reservedPrefix),
        configuration.mode != .istio || !IstioRules.containerNames.contains(container)
      else {
        throw AdmissionRefusal(
          "\(container.bounded(to: 63)) is the sidecar's container, which holds secrets: read its "
            + "logs instead")
      }
    case "portforward":
      // It begins within the pod, where nothing is intercepted.
      guard !configuration.exemptGroups.isDisjoint(with: review.user.groups) else {
        throw AdmissionRefusal(
          "ports of a guarded pod are not forwarded: that would reach the app past its sidecar. Call its Service")
      }
    default: return
    }
  }

  private static func object(_ review: AdmissionReview, _ kind: String) throws(AdmissionRefusal) -> JSONValue {
    guard review.resource.kind == kind, let object = review.object else {
      throw AdmissionRefusal(malformed: "request.object", expected: "a \(kind)")
    }
    return object
  }
}
