import AgentProtocols
import CASACore
import Testing

@testable import Injection

/// Ways past the sidecar that a pod's author may try, each with a word of the reason it is refused for.
private let bypasses: [(String, JSONValue, String)] = [
  (
    "a label that opts out",
    Pods.app(metadata: ["labels": ["casa.io/injection": "disabled", "pod-template-hash": "7d9c6b5f4"]]),
    "labels[casa.io/injection]"
  ),
  (
    "an annotation that opts out", Pods.app(metadata: ["annotations": ["casa.io/injection": "false"]]),
    "annotations[casa.io/injection]"
  ),
  (
    "the likeness of another pod",
    Pods.app(metadata: ["annotations": ["kubernetes.io/config.mirror": "0b1f5a3e-0000-0000-0000-000000000001"]]),
    "annotations[kubernetes.io/config.mirror]"
  ),
  ("the node's network", Pods.app(spec: ["hostNetwork": true]), "hostNetwork"),
  ("the node's processes", Pods.app(spec: ["hostPID": true]), "hostPID"),
  ("the node's IPC", Pods.app(spec: ["hostIPC": true]), "hostIPC"),
  ("the sidecar's processes", Pods.app(spec: ["shareProcessNamespace": true]), "shareProcessNamespace"),
  ("another system", Pods.app(spec: ["os": ["name": "windows"]]), "os.name"),
  (
    "names of its own for addresses",
    Pods.app(spec: ["hostAliases": [["ip": "10.0.0.9", "hostnames": ["casa-runtime"]]]]), "hostAliases"
  ),
  ("a resolver of its own", Pods.app(spec: ["dnsPolicy": "None"]), "dnsPolicy"),
  ("a resolver more", Pods.app(spec: ["dnsConfig": ["nameservers": ["10.0.0.9"]]]), "dnsConfig.nameservers"),
  ("a domain that is tried first", Pods.app(spec: ["dnsConfig": ["searches": ["evil.example"]]]), "dnsConfig.searches"),
  ("the LLM's name", Pods.app(spec: ["hostnameOverride": "api.openai.com"]), "hostnameOverride"),
  ("the sidecar's user for the pod", Pods.app(spec: ["securityContext": ["runAsUser": 1337]]), "runAsUser"),
  (
    "the sidecar's group for the pod", Pods.app(spec: ["securityContext": ["runAsUser": 1, "runAsGroup": 1337]]),
    "runAsGroup"
  ),
  ("the sidecar's group for files", Pods.app(spec: ["securityContext": ["runAsUser": 1, "fsGroup": 1337]]), "fsGroup"),
  (
    "the sidecar's group besides",
    Pods.app(spec: ["securityContext": ["runAsUser": 1, "supplementalGroups": [1, 1337]]]), "supplementalGroups"
  ),
  ("the image's own user", Pods.app(spec: ["securityContext": nil]), "runAsUser"),
  (
    "a setting of the kernel",
    Pods.app(spec: [
      "securityContext": ["runAsUser": 1, "sysctls": [["name": "net/ipv4/conf/all/route_localnet", "value": "1"]]]
    ]), "sysctls[0]"
  ),
  (
    "no seccomp for the pod",
    Pods.app(spec: ["securityContext": ["runAsUser": 1, "seccompProfile": ["type": "Unconfined"]]]), "seccompProfile"
  ),
  ("a container as the sidecar's user", Pods.app(security: ["runAsUser": 1337]), "runAsUser"),
  ("a container in the sidecar's group", Pods.app(security: ["runAsGroup": 1337]), "runAsGroup"),
  ("privileges", Pods.app(security: ["privileged": true]), "privileged"),
  (
    "programs that run as their owner", Pods.app(security: ["allowPrivilegeEscalation": true]),
    "allowPrivilegeEscalation"
  ),
  ("the kernel's files unmasked", Pods.app(security: ["procMount": "Unmasked"]), "procMount"),
  ("no seccomp", Pods.app(security: ["seccompProfile": ["type": "Unconfined"]]), "seccompProfile"),
  ("no AppArmor", Pods.app(security: ["appArmorProfile": ["type": "Unconfined"]]), "appArmorProfile"),
  ("a process of the host", Pods.app(security: ["windowsOptions": ["hostProcess": true]]), "hostProcess"),
  (
    "a port of the node", Pods.app(container: ["ports": [["name": "http", "containerPort": 80, "hostPort": 80]]]),
    "hostPort"
  ),
  (
    "the sidecar's port",
    Pods.app(container: ["ports": [["name": "http", "containerPort": 8080], ["containerPort": 15_006]]]),
    "containerPort"
  ),
  (
    "the node's files", Pods.app(spec: ["volumes": [["name": "v", "hostPath": ["path": "/var/lib/kubelet"]]]]),
    "hostPath"
  ),
  (
    "a Secret of the sidecar's as volume",
    Pods.app(spec: ["volumes": [["name": "v", "secret": ["secretName": "casa-workload-teller"]]]]), "volumes[0]"
  ),
  (
    "one projected",
    Pods.app(spec: [
      "volumes": [["name": "v", "projected": ["sources": [["secret": ["name": "casa-workload-teller"]]]]]]
    ]), "volumes[0]"
  ),
  (
    "one by a driver",
    Pods.app(spec: [
      "volumes": [["name": "v", "csi": ["driver": "x", "nodePublishSecretRef": ["name": "casa-workload-teller"]]]]
    ]), "volumes[0]"
  ),
  ("one for pulling", Pods.app(spec: ["imagePullSecrets": [["name": "casa-workload-teller"]]]), "imagePullSecrets[0]"),
  (
    "one as variable",
    Pods.app(container: [
      "env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "casa-workload-teller", "key": "k"]]]]
    ]), "env[0]"
  ),
  (
    "one as variables", Pods.app(container: ["envFrom": [["secretRef": ["name": "casa-workload-teller"]]]]),
    "envFrom[0]"
  ),
  (
    "another workload's", Pods.app(container: ["envFrom": [["secretRef": ["name": "casa-workload-bank"]]]]),
    "envFrom[0]"
  ),
]

@Suite("Validation of a pod")
struct PodValidationTests {
  @Test("refuses at both webhooks", arguments: bypasses)
  func bypass(what: String, pod: JSONValue, word: String) throws {
    let refused = try mutation(of: pod).reason
    #expect(refused.contains(word), "\(what): \(refused)")
    // The pod as an author would send it who knows what injection makes.
    let parts = try injected(Pods.app)
    var made = pod
    for list in ["initContainers", "containers", "volumes"] {
      let own = pod["spec"]?[list]?.array ?? []
      let ours = (parts["spec"]?[list]?.array ?? []).filter { $0["name"]?.string?.hasPrefix("casa-") == true }
      made = made.setting(
        "spec", to: try #require(made["spec"]).setting(list, to: .array(list == "volumes" ? own + ours : ours + own)))
    }
    let invalid = try validation(of: made).reason
    #expect(invalid.contains(word), "\(what): \(invalid)")
  }

  @Test(
    "refuses every capability but that to use low ports",
    arguments: [
      "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "BPF", "DAC_OVERRIDE", "SETUID", "SETGID", "ALL", "CAP_SETUID",
      "net_admin",
    ])
  func capabilities(name: String) throws {
    let pod = Pods.app(security: ["capabilities": ["add": ["NET_BIND_SERVICE", .string(name)]]])
    #expect(try mutation(of: pod).reason.contains("capabilities.add"))
    #expect(try mutation(of: Pods.app(security: ["capabilities": ["add": ["NET_BIND_SERVICE"]]])).isAllowed)
  }

  @Test("refuses the same of init containers")
  func initContainers() throws {
    let bad = Pods.container(["name": "prepare", "securityContext": ["runAsUser": 1337]])
    #expect(try mutation(of: Pods.app(spec: ["initContainers": [bad]])).reason.contains("initContainers[3]"))
  }

  @Test("lets in what the mutation made, and nothing that it did not")
  func exact() throws {
    #expect(try validation(of: injected(Pods.app)).isAllowed)
    #expect(try validation(of: Pods.app).reason.contains("allowPrivilegeEscalation"))
    let bare = Pods.app(security: ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]])
    #expect(try validation(of: bare).reason.contains("no sidecar"))
  }

  @Test("refuses at both webhooks what looks injected and is not", arguments: Forgery.allCases)
  func forged(forgery: Forgery) throws {
    let pod = try forgery.applied(to: injected(Pods.app))
    #expect(pod != (try injected(Pods.app)))
    #expect(!(try validation(of: pod).isAllowed))
    #expect(!(try mutation(of: pod).isAllowed))
  }

  enum Forgery: String, CaseIterable {
    case otherImage, otherCommand, otherUser, moreEnvironment, noInterception, noAuthorization, noSidecar, order
    case moreMounts, writableSecret, otherSecret, diskInsteadOfMemory, noVolume, noLabel, noAnnotation, ownProbe
    case otherProbe, badProbes, sidecarAsApp, fourth, initInstead, secondSidecar, weakApp, lifecycle

    func applied(to pod: JSONValue) throws -> JSONValue {
      func change(_ name: String, _ change: (JSONValue) -> JSONValue) -> JSONValue {
        var made = pod
        for list in ["initContainers", "containers", "volumes"] {
          let elements = (pod["spec"]?[list]?.array ?? []).map { $0["name"]?.string == name ? change($0) : $0 }
          made = made.setting("spec", to: (made["spec"] ?? .null).setting(list, to: .array(elements)))
        }
        return made
      }
      func list(_ name: String, _ change: ([JSONValue]) -> [JSONValue]) -> JSONValue {
        pod.setting(
          "spec", to: (pod["spec"] ?? .null).setting(name, to: .array(change(pod["spec"]?[name]?.array ?? []))))
      }
      func metadata(_ member: String, _ name: String) -> JSONValue {
        let metadata = pod["metadata"] ?? .null
        return pod.setting(
          "metadata", to: metadata.setting(member, to: (metadata[member] ?? .null).setting(name, to: nil)))
      }
      switch self {
      case .otherImage: return change("casa-authorize") { $0.setting("image", to: "evil.example/casa:1") }
      case .otherCommand: return change("casa-intercept") { $0.setting("command", to: ["true"]) }
      case .otherUser:
        return change("casa-sidecar") {
          $0.setting("securityContext", to: ($0["securityContext"] ?? .null).setting("runAsUser", to: 0))
        }
      case .moreEnvironment:
        return change("casa-authorize") { $0.setting("env", to: [["name": "LD_PRELOAD", "value": "/tmp/x.so"]]) }
      case .noInterception: return list("initContainers") { Array($0.dropFirst()) }
      case .noAuthorization: return list("initContainers") { [$0[0], $0[2]] }
      case .noSidecar: return list("initContainers") { Array($0.prefix(2)) }
      case .order: return list("initContainers") { [$0[1], $0[0], $0[2]] }
      case .moreMounts:
        return change("casa-sidecar") {
          $0.setting(
            "volumeMounts",
            to: .array(($0["volumeMounts"]?.array ?? []) + [["name": "scratch", "mountPath": "/etc/casa/x"]]))
        }
      case .writableSecret:
        return change("casa-workload") {
          $0.setting("secret", to: ($0["secret"] ?? .null).setting("optional", to: true))
        }
      case .otherSecret:
        return change("casa-workload") {
          $0.setting("secret", to: ($0["secret"] ?? .null).setting("secretName", to: "mine"))
        }
      case .diskInsteadOfMemory: return change("casa-run") { $0.setting("emptyDir", to: [:]) }
      case .noVolume: return list("volumes") { $0.filter { $0["name"] != "casa-run" } }
      case .noLabel: return metadata("labels", "casa.io/injected")
      case .noAnnotation: return metadata("annotations", "casa.io/sidecar-image")
      case .ownProbe:
        return change("app") { $0.setting("readinessProbe", to: ["httpGet": ["port": 8080], "timeoutSeconds": 1]) }
      case .otherProbe:
        return change("app") {
          $0.setting(
            "livenessProbe", to: ["httpGet": ["path": "/ready", "port": 15021, "scheme": "HTTP"], "timeoutSeconds": 2])
        }
      case .badProbes: return change("casa-sidecar") { $0.setting("env", to: [["name": "CASA_PROBES", "value": "{"]]) }
      case .sidecarAsApp:
        return list("containers") { $0 + [pod.containers("initContainers")[2]] }
      case .fourth: return list("initContainers") { $0 + [Pods.container(["name": "casa-helper"])] }
      case .initInstead: return change("casa-sidecar") { $0.setting("restartPolicy", to: nil) }
      case .secondSidecar: return list("initContainers") { $0 + [$0[2]] }
      case .weakApp: return change("app") { $0.setting("securityContext", to: nil) }
      case .lifecycle:
        return change("casa-sidecar") { $0.setting("lifecycle", to: ["postStart": ["exec": ["command": ["x"]]]]) }
      }
    }
  }

  @Test("of a change lets apps be changed, and the sidecar's parts not, whatever made them")
  func updates() throws {
    let old = try injected(Pods.app, configuration { $0.image = "registry.example/casa:0" })
    func update(_ new: JSONValue, _ old: JSONValue, _ subresource: String? = nil) throws -> AdmissionResponse {
      let json = reviewJSON("UPDATE", object: new, old: old, subresource: subresource)
      return PodValidation.response(to: try review(json), configuration: configuration())
    }
    #expect(try update(old, old).isAllowed)
    let metadata = try #require(old["metadata"])
    #expect(try update(old.setting("metadata", to: metadata.setting("finalizers", to: ["x/y"])), old).isAllowed)
    let app = old.setting(
      "spec",
      to: try #require(old["spec"]).setting(
        "containers", to: [try #require(old.container("app")).setting("image", to: "b")]))
    #expect(try update(app, old).isAllowed)
    for forgery in [PodValidationTests.Forgery.otherImage, .noLabel, .noAnnotation, .noVolume, .noSidecar] {
      for subresource in [nil, "status", "resize"] {
        #expect(!(try update(forgery.applied(to: old), old, subresource).isAllowed), "\(forgery)")
      }
    }
    // A pod that was there before the namespace was guarded stays as it is.
    #expect(try update(Pods.app, Pods.app).isAllowed)
    #expect(try update(old, Pods.app).reason.contains("annotations"))
    #expect(!(try update(old, old, "binding").isAllowed))
  }

  @Test("of an ephemeral container keeps to the rules, and from the sidecar's processes")
  func ephemeral() throws {
    let old = try injected(Pods.app)
    func attempt(_ change: [String: JSONValue]) throws -> AdmissionResponse {
      var container: JSONValue = [
        "name": "debugger", "image": "busybox", "targetContainerName": "app",
        "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]],
      ]
      for (name, value) in change { container = container.setting(name, to: value) }
      let new = old.setting("spec", to: try #require(old["spec"]).setting("ephemeralContainers", to: [container]))
      let asked = try review(reviewJSON("UPDATE", object: new, old: old, subresource: "ephemeralcontainers"))
      let response = PodValidation.response(to: asked, configuration: configuration())
      #expect(PodInjection.patch(for: asked, configuration: configuration()).isAllowed == response.isAllowed)
      return response
    }
    #expect(try attempt([:]).isAllowed)
    #expect(try attempt(["targetContainerName": "casa-sidecar"]).reason.contains("targetContainerName"))
    #expect(try attempt(["name": "casa-debugger"]).reason.contains("name"))
    #expect(try attempt(["securityContext": [:]]).reason.contains("allowPrivilegeEscalation"))
    #expect(
      try attempt(["volumeMounts": [["name": "casa-workload", "mountPath": "/x"]]]).reason.contains("volumeMounts"))
    for user: JSONValue in [1337] {
      #expect(
        !(try attempt([
          "securityContext": ["runAsUser": user, "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]]
        ]).isAllowed))
    }
    #expect(
      !(try attempt([
        "securityContext": [
          "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"], "add": ["SYS_PTRACE"]],
        ]
      ]).isAllowed))
  }

  @Test("keeps people out of the sidecar's containers, and from reaching the app past them")
  func connections() throws {
    func attempt(
      _ subresource: String, _ kind: String, container: String?, groups: [String] = [],
      _ settings: InjectionConfiguration = configuration()
    ) throws -> Bool {
      var options: JSONValue = ["apiVersion": "v1", "kind": .string(kind), "command": ["sh"]]
      if let container { options = options.setting("container", to: .string(container)) }
      let json = reviewJSON(
        "CONNECT", object: options, subresource: subresource, kind: kind, name: "teller-x", groups: groups)
      return Admission(configuration: settings).validated(try review(json)).isAllowed
    }
    for (subresource, kind) in [("exec", "PodExecOptions"), ("attach", "PodAttachOptions")] {
      #expect(try attempt(subresource, kind, container: "app"))
      #expect(try attempt(subresource, kind, container: nil))
      for name in InjectedParts.containerNames {
        #expect(!(try attempt(subresource, kind, container: name)))
        #expect(!(try attempt(subresource, kind, container: name, groups: ["system:masters"])))
      }
      #expect(!(try attempt(subresource, kind, container: "istio-proxy", istio)))
      #expect(!(try attempt(subresource, "Pod", container: "app")))
    }
    #expect(!(try attempt("portforward", "PodPortForwardOptions", container: nil)))
    #expect(try attempt("portforward", "PodPortForwardOptions", container: nil, groups: ["system:masters"]))
    #expect(try attempt("proxy", "PodProxyOptions", container: nil))
  }
}
