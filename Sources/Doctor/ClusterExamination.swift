import CASACore

/// What a cluster's facts mean for CASA. Pure.
public enum ClusterExamination {
  /// The versions that every manifest was validated for.
  static let versions = 28...35
  static let injectionLabel = "casa.io/injection"

  public static func findings(_ facts: ClusterFacts) -> [Finding] {
    [
      version(facts), clock(facts), definitions(facts), webhooks(facts, "mutating", facts.mutatingWebhooks),
      webhooks(facts, "validating", facts.validatingWebhooks), parts(facts), lease(facts), injection(facts),
      unguarded(facts), waiting(facts),
      inForce("cluster.systems", "MultiAgentSystem", facts.systems),
      inForce("cluster.policies", "CASAPolicy", facts.policies),
    ]
  }

  private static func unreadable(_ check: String, _ what: String) -> Finding {
    Finding(
      check, .skipped, "\(what) can't be read",
      remedy: "run as somebody who may list them (kubectl auth can-i --list)")
  }

  private static func version(_ facts: ClusterFacts) -> Finding {
    // Some providers write `31+`.
    guard facts.major == "1", let minor = Int(facts.minor.prefix { $0.isNumber }) else {
      return Finding(
        "cluster.version", .failed, "the API server's version `\(facts.major).\(facts.minor)` can't be read")
    }
    guard versions.contains(minor) else {
      return Finding(
        "cluster.version", .warning, "Kubernetes 1.\(minor) is not among those that CASA is validated for",
        remedy: "use 1.\(versions.lowerBound) to 1.\(versions.upperBound)")
    }
    let native = minor >= 29
    return Finding(
      "cluster.version", native ? .ok : .warning,
      "Kubernetes 1.\(minor)\(native ? "" : ", without native sidecars: a pod's own init containers run before its sidecar and reach nothing")"
    )
  }

  private static func clock(_ facts: ClusterFacts) -> Finding {
    guard let difference = facts.clockDifference else {
      return Finding("cluster.clock", .skipped, "the API server did not tell its time")
    }
    guard abs(difference) <= 5 else {
      return Finding(
        "cluster.clock", abs(difference) <= 25 ? .warning : .failed,
        "the API server's clock and this machine's differ by \(abs(difference)) s; tokens tolerate 30 s",
        remedy: "have NTP keep the clocks of all nodes")
    }
    return Finding("cluster.clock", .ok, "the clocks agree within \(abs(difference)) s")
  }

  private static func name(_ object: JSONValue) -> String { object["metadata"]?["name"]?.string ?? "?" }
  private static func namespace(_ object: JSONValue) -> String { object["metadata"]?["namespace"]?.string ?? "" }

  private static func definitions(_ facts: ClusterFacts) -> Finding {
    guard let definitions = facts.definitions else { return unreadable("cluster.crds", "CustomResourceDefinitions") }
    for wanted in ["multiagentsystems.casa.io", "casapolicies.casa.io"] {
      guard let found = definitions.first(where: { name($0) == wanted }) else {
        return Finding(
          "cluster.crds", .failed, "the CustomResourceDefinition \(wanted) is missing",
          remedy:
            "kubectl apply --server-side -f deploy/crds (Helm installs them with the chart, but never upgrades them)")
      }
      let serves = (found["spec"]?["versions"]?.array ?? []).contains {
        $0["name"]?.string == "v1alpha1" && $0["served"]?.bool == true
      }
      let isEstablished = (found["status"]?["conditions"]?.array ?? []).contains {
        $0["type"]?.string == "Established" && $0["status"]?.string == "True"
      }
      guard serves, isEstablished else {
        return Finding(
          "cluster.crds", .failed, "\(wanted) does not serve v1alpha1",
          remedy: "kubectl apply --server-side -f deploy/crds, then kubectl describe crd \(wanted)")
      }
    }
    return Finding("cluster.crds", .ok, "both CustomResourceDefinitions serve v1alpha1")
  }

  private static func webhooks(_ facts: ClusterFacts, _ kind: String, _ all: [JSONValue]?) -> Finding {
    let check = "cluster.webhook-\(kind)"
    guard let all else { return unreadable(check, "the \(kind) webhooks") }
    let hooks = all.flatMap { configuration in
      (configuration["webhooks"]?.array ?? []).filter {
        $0["clientConfig"]?["service"]?["namespace"]?.string == facts.systemNamespace
      }
    }
    guard !hooks.isEmpty else {
      return Finding(
        check, .failed, "no \(kind) webhook leads to \(facts.systemNamespace): pods start without a sidecar",
        remedy: "install the chart casa-runtime")
    }
    for hook in hooks {
      let hookName = hook["name"]?.string ?? "?"
      guard hook["failurePolicy"]?.string == "Fail" else {
        return Finding(
          check, .failed, "the webhook \(hookName) lets pods start when it can't be asked",
          remedy: "set its failurePolicy to Fail; somebody changed it")
      }
      guard let bundle = hook["clientConfig"]?["caBundle"]?.string, !bundle.isEmpty else {
        return Finding(
          check, .failed, "the webhook \(hookName) has no caBundle, so no pod of a labelled namespace can start",
          remedy:
            "see why the controller does not write it: kubectl -n \(facts.systemNamespace) logs deploy/casa-controller")
      }
    }
    return Finding(check, .ok, "\(hooks.count) webhooks fail closed")
  }

  private static func parts(_ facts: ClusterFacts) -> Finding {
    guard let parts = facts.parts else { return unreadable("cluster.parts", "what runs in \(facts.systemNamespace)") }
    guard !parts.isEmpty else {
      return Finding(
        "cluster.parts", .failed, "nothing of CASA runs in \(facts.systemNamespace)",
        remedy: """
          helm install casa deploy/charts/casa-runtime -n \(facts.systemNamespace) --create-namespace, with --set \
          image.repository=... and a database, as docs/install-kubernetes.md says
          """)
    }
    let short = parts.filter { part in
      let status = part["status"]
      let wanted = part["spec"]?["replicas"]?.integer ?? status?["desiredNumberScheduled"]?.integer ?? 0
      return (status?["readyReplicas"]?.integer ?? status?["numberReady"]?.integer ?? 0) < wanted
    }
    guard short.isEmpty else {
      let names = short.map { "\($0["kind"]?.string ?? "") \(name($0))" }.sorted().joined(separator: ", ")
      return Finding(
        "cluster.parts", .failed, "not all pods are ready of \(names)",
        remedy: "kubectl -n \(facts.systemNamespace) describe pods, and their logs, say why")
    }
    return Finding("cluster.parts", .ok, "\(parts.count) parts run in \(facts.systemNamespace)")
  }

  private static func lease(_ facts: ClusterFacts) -> Finding {
    guard let spec = facts.lease?["spec"] else {
      return Finding(
        "cluster.controller", .failed, "no controller holds the Lease casa-controller",
        remedy: "kubectl -n \(facts.systemNamespace) logs deploy/casa-controller")
    }
    guard let holder = spec["holderIdentity"]?.string, !holder.isEmpty,
      let renewed = spec["renewTime"]?.string.flatMap({ Timestamp(rfc3339: $0) })
    else {
      return Finding(
        "cluster.controller", .failed, "no controller works now",
        remedy: "kubectl -n \(facts.systemNamespace) logs deploy/casa-controller")
    }
    let age = (facts.now.milliseconds - renewed.milliseconds) / 1000
    guard age <= 60 else {
      return Finding(
        "cluster.controller", .failed, "the controller \(holder) last said \(age) s ago that it works",
        remedy: "kubectl -n \(facts.systemNamespace) logs \(holder)")
    }
    return Finding("cluster.controller", .ok, "\(holder) works")
  }

  private static func labelled(_ facts: ClusterFacts) -> Set<String>? {
    facts.namespaces.map { namespaces in
      Set(namespaces.filter { $0["metadata"]?["labels"]?[injectionLabel]?.string == "enabled" }.map(name))
    }
  }

  private static func injection(_ facts: ClusterFacts) -> Finding {
    guard let labelled = labelled(facts) else { return unreadable("cluster.injection", "namespaces") }
    guard !labelled.isEmpty else {
      return Finding(
        "cluster.injection", .warning, "no namespace is labelled, so nothing is guarded",
        remedy: "kubectl label namespace NAME \(injectionLabel)=enabled")
    }
    let missing = Set((facts.systems ?? []).map(namespace)).subtracting(labelled).sorted()
    guard missing.isEmpty else {
      return Finding(
        "cluster.injection", .failed,
        "namespaces with a MultiAgentSystem that are not labelled: \(list(missing))",
        remedy: "kubectl label namespace \(missing[0]) \(injectionLabel)=enabled, then restart its workloads")
    }
    return Finding("cluster.injection", .ok, "guarded namespaces: \(list(labelled.sorted()))")
  }

  /// Pods of labelled namespaces that run without the sidecar.
  private static func unguarded(_ facts: ClusterFacts) -> Finding {
    guard let pods = facts.pods, let labelled = labelled(facts) else { return unreadable("cluster.pods", "pods") }
    let own = pods.filter { labelled.contains(namespace($0)) && $0["status"]?["phase"]?.string != "Succeeded" }
    let bare = own.filter { pod in
      let spec = pod["spec"]
      let names = ["containers", "initContainers"].flatMap { spec?[$0]?.array ?? [] }.compactMap { $0["name"]?.string }
      return !names.contains("casa-sidecar") && !names.contains("istio-proxy")
    }
    guard bare.isEmpty else {
      let names = bare.map { "\(namespace($0))/\(name($0))" }.sorted()
      return Finding(
        "cluster.pods", .failed, "pods without a sidecar: \(list(names))",
        remedy: "they were there before the label; kubectl -n NAMESPACE rollout restart their workloads")
    }
    return Finding("cluster.pods", .ok, "all \(own.count) pods of guarded namespaces have a sidecar")
  }

  /// Pods that wait for the Secret of a workload that no system names.
  private static func waiting(_ facts: ClusterFacts) -> Finding {
    guard let pods = facts.pods, let labelled = labelled(facts), let systems = facts.systems else {
      return unreadable("cluster.workloads", "pods and MultiAgentSystems")
    }
    var known: Set<String> = []
    for system in systems {
      for app in system["spec"]?["apps"]?.array ?? [] {
        if let workload = app["kubernetesWorkloadName"]?.string { known.insert("\(namespace(system))/\(workload)") }
      }
    }
    let strangers = pods.filter { labelled.contains(namespace($0)) }.compactMap { pod -> String? in
      guard let workload = pod["metadata"]?["labels"]?["casa.io/workload"]?.string else { return nil }
      let reference = "\(namespace(pod))/\(workload)"
      return known.contains(reference) ? nil : reference
    }
    let unknown = Set(strangers).sorted()
    guard unknown.isEmpty else {
      return Finding(
        "cluster.workloads", .failed,
        "workloads that no MultiAgentSystem names, whose pods can't start: \(list(unknown))",
        remedy: "name each in spec.apps[].kubernetesWorkloadName, or run it in another namespace")
    }
    return Finding("cluster.workloads", .ok, "every guarded workload is an app of a system")
  }

  private static func inForce(_ check: String, _ kind: String, _ objects: [JSONValue]?) -> Finding {
    guard let objects else { return unreadable(check, "\(kind) objects") }
    let bad = objects.filter { $0["status"]?["phase"]?.string != "Active" }
    guard bad.isEmpty else {
      let first = bad[0]
      let failed = bad.contains { $0["status"]?["phase"]?.string == "Failed" }
      let why = first["status"]?["message"]?.string ?? "the controller has not looked at it"
      return Finding(
        check, failed ? .failed : .warning,
        "not in force: \(list(bad.map { "\(namespace($0))/\(name($0))" }.sorted())); \(name(first)): \(why.prefix(300))",
        remedy: "kubectl describe \(kind == "CASAPolicy" ? "casap" : "mas") -n \(namespace(first)) \(name(first))")
    }
    return Finding(check, .ok, "\(objects.count) \(kind) objects are in force")
  }

  private static func list(_ names: [String]) -> String {
    names.count <= 5
      ? names.joined(separator: ", ") : names.prefix(5).joined(separator: ", ") + " and \(names.count - 5) more"
  }
}
