import AgentProtocols
import CASACore
import Testing

@testable import Injection

@Suite("Validation of other objects")
struct ObjectValidationTests {
  private func answer(_ json: JSONValue, _ settings: InjectionConfiguration = configuration()) throws -> Bool {
    Admission(configuration: settings).validated(try review(json)).isAllowed
  }

  private func namespace(_ label: JSONValue?) -> JSONValue {
    ["kind": "Namespace", "metadata": ["labels": JSONValue.object([:]).setting("casa.io/injection", to: label)]]
  }

  @Test("keeps the label on a namespace that has it, unless an administrator takes it off")
  func namespaces() throws {
    func update(
      _ new: JSONValue?, _ old: JSONValue?, subresource: String? = nil, groups: [String] = ["developers"]
    ) throws -> Bool {
      try answer(
        reviewJSON(
          "UPDATE", object: namespace(new), old: namespace(old), resource: "namespaces", subresource: subresource,
          kind: "Namespace", groups: groups))
    }
    for new: JSONValue? in [nil, "disabled", "Enabled", ""] {
      #expect(!(try update(new, "enabled")))
      for subresource in ["status", "finalize"] {
        #expect(!(try update(new, "enabled", subresource: subresource)), "\(subresource)")
        #expect(try update("enabled", "enabled", subresource: subresource))
      }
      #expect(try update(new, "enabled", groups: ["developers", "system:masters"]))
      #expect(try update(new, "disabled"))
    }
    #expect(try update("enabled", "enabled"))
    #expect(try update("enabled", nil))
    #expect(
      try answer(reviewJSON("DELETE", old: namespace("enabled"), resource: "namespaces", kind: "Namespace")))
  }

  @Test("lets only the controller write the Secrets of workloads; who clears up may delete them")
  func secrets() throws {
    func attempt(_ operation: String, _ metadata: JSONValue, user: String, requestName: String = "") throws -> Bool {
      let secret: JSONValue = ["kind": "Secret", "metadata": metadata]
      return try answer(
        reviewJSON(
          operation, object: operation == "DELETE" ? nil : secret, old: operation == "CREATE" ? nil : secret,
          resource: "secrets", kind: "Secret", name: requestName, user: user))
    }
    let ours: JSONValue = ["name": "casa-workload-teller"]
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector"
    for operation in ["CREATE", "UPDATE", "DELETE"] {
      #expect(try attempt(operation, ours, user: "system:serviceaccount:casa-system:casa-controller"))
      #expect(!(try attempt(operation, ours, user: "jane")))
      #expect(!(try attempt(operation, ours, user: "system:serviceaccount:bank:casa-controller")))
      #expect(try attempt(operation, ours, user: collector) == (operation == "DELETE"))
      #expect(try attempt(operation, ["name": "teller"], user: "jane"))
      #expect(!(try attempt(operation, [:], user: "jane", requestName: "casa-workload-teller")))
    }
    #expect(!(try attempt("CREATE", ["generateName": "casa-workload-"], user: "jane")))
  }

  @Test("of policies and systems keeps them to workloads of their own namespace")
  func targets() throws {
    func attempt(_ spec: JSONValue) throws -> Bool {
      try answer(
        reviewJSON(
          object: ["kind": "CASAPolicy", "spec": spec], group: "casa.io", resource: "casapolicies", kind: "CASAPolicy"))
    }
    #expect(try attempt(["targetRef": ["kind": "Deployment", "name": "teller"]]))
    #expect(try attempt(["apps": [["name": "a", "kubernetesWorkloadName": "teller"], ["name": "b"]]]))
    for bad: JSONValue in [
      ["targetRef": ["kind": "Deployment", "name": "teller", "namespace": "other"]],
      ["targetRef": ["kind": "Deployment", "name": "other/teller"]], ["targetRef": ["kind": "Deployment"]],
      ["apps": [["name": "a", "kubernetesWorkloadName": "other/teller"]]], ["targetRef": "teller"],
    ] { #expect(!(try attempt(bad)), "\(bad)") }
  }

  @Test("in Istio's mode lets in pods with Istio's sidecar, and refuses what would change it")
  func istioPods() throws {
    let proxy = Pods.istioProxy
    func pod(
      _ member: String, _ values: [String: JSONValue], proxy: JSONValue? = proxy, workload: JSONValue? = "teller"
    ) -> JSONValue {
      Pods.withIstio(
        labels: member == "labels" ? values : [:], annotations: member == "annotations" ? values : [:], proxy: proxy,
        workload: workload)
    }
    #expect(try validation(of: pod("annotations", [:]), istio).isAllowed)
    for (member, good): (String, [String: JSONValue]) in [
      ("labels", ["sidecar.istio.io/inject": "true", "istio.io/rev": "canary"]),
      ("annotations", ["sidecar.istio.io/status": "{}", "sidecar.istio.io/proxyCPU": "100m", "example.com/x": "y"]),
    ] { #expect(try validation(of: pod(member, good), istio).reason == "") }
    for (member, bad): (String, [String: JSONValue]) in [
      ("labels", ["sidecar.istio.io/inject": "false"]), ("labels", ["istio.io/dataplane-mode": "none"]),
      ("annotations", ["sidecar.istio.io/inject": "false"]),
      ("annotations", ["traffic.sidecar.istio.io/excludeOutboundIPRanges": "0.0.0.0/0"]),
      ("annotations", ["traffic.sidecar.istio.io/excludeOutboundPorts": "443"]),
      ("annotations", ["traffic.sidecar.istio.io/excludeInboundPorts": "8080"]),
      ("annotations", ["traffic.sidecar.istio.io/includeOutboundIPRanges": ""]),
      ("annotations", ["traffic.sidecar.istio.io/includeInboundPorts": ""]),
      ("annotations", ["sidecar.istio.io/interceptionMode": "NONE"]),
      ("annotations", ["proxy.istio.io/config": "{}"]), ("annotations", ["proxy.istio.io/overrides": "{}"]),
      ("annotations", ["sidecar.istio.io/bootstrapOverride": "mine"]),
      ("annotations", ["sidecar.istio.io/userVolume": "[]"]), ("annotations", ["inject.istio.io/templates": "mine"]),
      ("annotations", ["casa.io/injection": "disabled"]),
    ] { #expect(!(try validation(of: pod(member, bad), istio).isAllowed), "\(bad)") }
    #expect(!(try validation(of: pod("labels", [:], proxy: nil), istio).isAllowed))
    #expect(!(try validation(of: pod("labels", [:], proxy: proxy.setting("image", to: "mine")), istio).isAllowed))
    #expect(!(try validation(of: injected(Pods.app(security: ["runAsUser": 1337]), istio), istio).isAllowed))
    for env: JSONValue in [
      [], [Pods.sidecarKey(of: "other")], [Pods.sidecarKey(of: "teller"), Pods.sidecarKey(of: "teller")],
      [Pods.sidecarKey(of: "teller"), Pods.sidecarKey(of: "other")],
    ] {
      #expect(
        !(try validation(of: pod("labels", [:], proxy: proxy.setting("env", to: env)), istio).isAllowed), "\(env)")
    }
    for label: JSONValue? in ["other", nil] {
      #expect(!(try validation(of: pod("labels", [:], workload: label), istio).isAllowed))
    }
    #expect(!(try mutation(of: pod("labels", [:]), istio).isAllowed), "containers of Istio's before Istio was asked")

    // What Istio writes down of the container that we put into the pod, and what another could make of that.
    func overrides(_ members: JSONValue, list: String = "containers") throws -> Bool {
      let text = JSONValue.object([list: [members]]).canonicalText
      return try validation(of: pod("annotations", ["proxy.istio.io/overrides": .string(text)]), istio).isAllowed
    }
    let added: JSONValue = ["name": "istio-proxy", "env": [Pods.sidecarKey(of: "teller")], "resources": [:]]
    #expect(try overrides(added) && overrides(added, list: "initContainers"))
    let filled: [(String, JSONValue)] = [
      ("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File"),
      ("imagePullPolicy", "Always"),
      (
        "volumeMounts",
        [
          [
            "name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": true,
          ]
        ]
      ),
    ]
    #expect(try overrides(filled.reduce(added) { $0.setting($1.0, to: $1.1) }))
    for (member, value): (String, JSONValue) in [
      ("image", "mine"), ("args", ["proxy"]), ("command", ["sh"]), ("name", "istio-init"),
      ("env", [Pods.sidecarKey(of: "other")]), ("env", [Pods.sidecarKey(of: "teller"), ["name": "X", "value": "y"]]),
      ("securityContext", ["runAsUser": 0]), ("resources", ["limits": ["cpu": "1m"]]), ("lifecycle", [:]),
      ("volumeMounts", [["name": "mine", "mountPath": "/etc/istio/proxy"]]),
    ] { #expect(!(try overrides(added.setting(member, to: value))), "\(member)") }
    #expect(!(try overrides(added, list: "ephemeralContainers")))
  }

  @Test("in Istio's mode refuses a container whose group only its image knows, since Istio lets one group past")
  func istioGroup() throws {
    let made = Pods.withIstio()
    let spec = try #require(made["spec"])
    typealias Members = [String: JSONValue]
    func reason(pod: Members, container: Members, in list: String = "containers") throws -> String {
      let security = JSONValue.object(
        container.merging(["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]]) { $1 })
      let own = Pods.container(["name": "other", "securityContext": security])
      let containers = list == "containers" ? [own, Pods.istioProxy] : [own]
      let changed = spec.setting("securityContext", to: .object(pod)).setting(list, to: .array(containers))
      return try validation(of: made.setting("spec", to: changed), istio).reason
    }
    let user: Members = ["runAsUser": 1000]
    let both: Members = ["runAsUser": 1000, "runAsGroup": 1000]
    for (pod, container): (Members, Members) in [(both, [:]), (user, ["runAsGroup": 0]), ([:], both)] {
      #expect(try reason(pod: pod, container: container) == "")
    }
    for (pod, container): (Members, Members) in [(user, [:]), ([:], user), (both, ["runAsGroup": 1337])] {
      #expect(try reason(pod: pod, container: container).contains("containers[0].securityContext.runAsGroup"))
    }
    #expect(try reason(pod: user, container: [:], in: "initContainers").contains("initContainers[0]"))
    // Our own packet rules know the sidecar by its user alone.
    #expect(try validation(of: injected(Pods.app)).reason == "")
  }

  @Test("in Istio's mode lets in pods whose interception Istio's CNI plugin sets up")
  func istioCNI() throws {
    for (key, value) in [
      "sidecar.istio.io/interceptionMode": "REDIRECT", "traffic.sidecar.istio.io/excludeInboundPorts": "15020",
      "traffic.sidecar.istio.io/includeInboundPorts": "*", "traffic.sidecar.istio.io/includeOutboundIPRanges": "*",
    ] {
      #expect(try validation(of: Pods.withIstio(annotations: [key: .string(value)]), istio).reason == "")
      #expect(!(try validation(of: Pods.withIstio(annotations: [key: "15020,8080"]), istio).isAllowed))
    }
  }
}
