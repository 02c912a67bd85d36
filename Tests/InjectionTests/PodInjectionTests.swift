import AgentProtocols
import CASACore
import Sidecar
import Testing

@testable import Injection

@Suite("Injection")
struct PodInjectionTests {
  private let names = ["casa-intercept", "casa-authorize", "casa-sidecar"]

  @Test("puts the sidecar's containers before the app's, interception first")
  func order() throws {
    let pod = try injected(Pods.app(spec: ["initContainers": [Pods.container(["name": "prepare"])]]))
    #expect(pod.containers("initContainers").map { $0["name"]?.string } == names + ["prepare"])
    #expect(pod.containers("containers").map { $0["name"]?.string } == ["app"])
    for name in names.dropFirst() { #expect(pod.container(name)?["restartPolicy"] == "Always") }
    #expect(pod.container("casa-intercept")?["restartPolicy"] == nil)
    #expect(pod["metadata"]?["labels"]?["casa.io/injected"] == "true")
    #expect(pod["metadata"]?["annotations"]?["casa.io/sidecar-image"] == "registry.example/casa:1")
  }

  @Test("without native sidecars has interception first among the init containers, and the others run beside the app")
  func plain() throws {
    let pod = try injected(
      Pods.app(spec: ["initContainers": [Pods.container(["name": "prepare"])]]),
      configuration { $0.usesNativeSidecars = false })
    #expect(pod.containers("initContainers").map { $0["name"]?.string } == ["casa-intercept", "prepare"])
    #expect(pod.containers("containers").map { $0["name"]?.string } == ["casa-authorize", "casa-sidecar", "app"])
    #expect(!pod.containers("containers").contains { $0["restartPolicy"] != nil })
  }

  @Test("gives the sidecar's containers only what they need")
  func least() throws {
    let pod = try injected(Pods.app)
    for name in names {
      let security = try #require(pod.container(name)?["securityContext"])
      #expect(security["readOnlyRootFilesystem"] == true && security["allowPrivilegeEscalation"] == false)
      #expect(security["seccompProfile"]?["type"] == "RuntimeDefault" && security["privileged"] == false)
      #expect(security["capabilities"]?["drop"] == ["ALL"])
      #expect(pod.container(name)?["resources"]?["limits"]?["memory"] != nil)
      let isRoot = name == "casa-intercept"
      #expect(security["runAsUser"] == (isRoot ? 0 : 1337) && security["runAsGroup"] == (isRoot ? 0 : 1337))
      #expect(security["capabilities"]?["add"] == (isRoot ? .some(["NET_ADMIN", "NET_RAW"]) : .none))
    }
    // The secrets of the workload are for the two that need them.
    let (intercept, app) = (try #require(pod.container("casa-intercept")), try #require(pod.container("app")))
    #expect(!intercept.canonicalText.contains("casa-workload"))
    #expect(!app.canonicalText.contains("\"casa-"))
    let secret = pod["spec"]?["volumes"]?.array?.last?["secret"]
    #expect(secret?["secretName"] == "casa-workload-teller" && secret?["optional"] == nil)
  }

  @Test("leads the kubelet's probes to the sidecar, which is told what to ask; programs are left alone")
  func probes() throws {
    let pod = try injected(Pods.app)
    let app = try #require(pod.container("app"))
    #expect(
      app["livenessProbe"] == [
        "httpGet": ["path": "/probe/app/liveness", "port": 15021, "scheme": "HTTP"], "timeoutSeconds": 2,
      ])
    #expect(app["readinessProbe"] == Pods.container()["readinessProbe"])
    #expect(app["startupProbe"]?["httpGet"]?["path"] == "/probe/app/startup")
    #expect(app["startupProbe"]?["grpc"] == nil && app["startupProbe"]?["failureThreshold"] == 30)
    let variable = try #require(pod.container("casa-sidecar")?["env"]?.array?.first)
    #expect(variable["name"] == "CASA_PROBES")
    #expect(
      try JSONValue(parsing: try #require(variable["value"]?.string)) == [
        "app/liveness": ["httpGet": ["path": "/healthz", "port": 8080, "scheme": "HTTP"], "timeoutSeconds": 2],
        "app/startup": ["grpc": ["port": 9000, "service": "ready"], "timeoutSeconds": 1],
      ])
  }

  @Test(
    "refuses probes that the sidecar can't carry out",
    arguments: [
      ["httpGet": ["port": "other"]], ["httpGet": ["port": 0]], ["httpGet": ["port": 8080, "host": "10.0.0.1"]],
      ["httpGet": ["port": 8080, "scheme": "FTP"]], ["httpGet": ["port": 8080, "path": "/a b"]],
      ["tcpSocket": ["port": 8080, "host": "elsewhere.example"]], ["tcpSocket": ["port": 70_000]],
      ["tcpSocket": ["port": 15_006]], ["httpGet": ["port": 15_021]],
      ["httpGet": ["port": 8080, "httpHeaders": [["name": "Transfer-Encoding", "value": "chunked"]]]],
      ["httpGet": ["port": 8080, "httpHeaders": [["name": "A", "value": "x\r\nHost: y"]]]],
      ["httpGet": ["port": 8080], "tcpSocket": ["port": 8080]], ["grpc": ["port": "http2"]],
      ["tcpSocket": ["port": 8080], "timeoutSeconds": 1000],
    ] as [JSONValue])
  func badProbes(probe: JSONValue) throws {
    let reason = try mutation(of: Pods.app(container: ["livenessProbe": probe])).reason
    #expect(reason.contains("spec.containers[0].livenessProbe"), "\(reason)")
  }

  @Test("keeps an app from becoming the sidecar's user, and takes no word of its own back")
  func restricts() throws {
    let plain = try #require(try injected(Pods.app).container("app")?["securityContext"])
    #expect(plain == ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]])
    let own = Pods.app(
      security: ["runAsUser": 0, "capabilities": ["add": ["NET_BIND_SERVICE"], "drop": ["NET_RAW"]]])
    #expect(
      try injected(own).container("app")?["securityContext"] == [
        "runAsUser": 0, "allowPrivilegeEscalation": false,
        "capabilities": ["add": ["NET_BIND_SERVICE"], "drop": ["ALL"]],
      ])
  }

  @Test("gives pods that name no user the one that is set for that")
  func defaultUser() throws {
    let pod = Pods.app(spec: ["securityContext": ["fsGroup": 2000]])
    #expect(try mutation(of: pod).reason.contains("runAsUser"))
    let settings = configuration { $0.defaultUser = 65_532 }
    let made = try injected(pod, settings)
    #expect(made["spec"]?["securityContext"] == ["fsGroup": 2000, "runAsUser": 65_532])
    #expect(try validation(of: made, settings).isAllowed)
    #expect(try injected(Pods.app, settings)["spec"]?["securityContext"]?["runAsUser"] == 1000)
  }

  @Test(
    "knows the workload by its owner, else by the pod's name",
    arguments: [
      (Pods.app, "teller"),
      (
        Pods.app(metadata: [
          "generateName": nil, "name": "db-0",
          "ownerReferences": [["apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true]],
        ]), "db"
      ),
      (Pods.app(metadata: ["ownerReferences": nil, "name": "alone"]), "alone"),
      (
        Pods.app(metadata: [
          "name": "job-x",
          "ownerReferences": [["apiVersion": "batch/v1", "kind": "Job", "name": "job", "controller": true]],
        ]), "job-x"
      ),
      // Who is not the controller doesn't count, nor a ReplicaSet of another group.
      (
        Pods.app(metadata: [
          "name": "other", "ownerReferences": [["apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a-7d9c6b5f4"]],
        ]), "other"
      ),
      (
        Pods.app(metadata: [
          "name": "other",
          "ownerReferences": [
            ["apiVersion": "apps.example/v1", "kind": "ReplicaSet", "name": "a-7d9c6b5f4", "controller": true]
          ],
        ]), "other"
      ),
    ])
  func workload(pod: JSONValue, name: String) throws {
    let volumes = try #require(try injected(pod)["spec"]?["volumes"]?.array)
    #expect(volumes.last?["secret"]?["secretName"] == .string("casa-workload-" + name))
  }

  @Test("refuses pods without a name to go by, and names that are none")
  func nameless() throws {
    #expect(try mutation(of: Pods.app(metadata: ["ownerReferences": nil])).reason.contains("needs metadata.name"))
    for name in ["Teller", "a/b", "../x", String(repeating: "a", count: 240)] {
      #expect(!(try mutation(of: Pods.app(metadata: ["ownerReferences": nil, "name": .string(name)])).isAllowed))
    }
  }

  @Test("makes lists and maps that are missing or null")
  func missing() throws {
    for nothing: JSONValue? in [nil, .null] {
      var pod = Pods.app(spec: [:])
      var spec = try #require(pod["spec"])
      for name in ["volumes", "initContainers"] { spec = spec.setting(name, to: nothing) }
      pod = pod.setting("spec", to: spec)
      var metadata = try #require(pod["metadata"])
      metadata = metadata.setting("annotations", to: nothing)
      pod = pod.setting("metadata", to: metadata)
      #expect(try validation(of: try injected(pod)).isAllowed)
    }
  }

  @Test("asked again changes nothing, whatever Kubernetes added to the containers meanwhile", arguments: [true, false])
  func again(native: Bool) throws {
    let settings = configuration { $0.usesNativeSidecars = native }
    var pod = try injected(Pods.app, settings)
    #expect(try mutation(of: pod, settings).patch == [])
    for list in ["initContainers", "containers"] {
      let added: JSONValue = [
        "name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true,
      ]
      let containers = pod.containers(list).map { container in
        container.setting("volumeMounts", to: .array((container["volumeMounts"]?.array ?? []) + [added]))
          .setting("imagePullPolicy", to: "Always")
      }
      pod = pod.setting("spec", to: try #require(pod["spec"]).setting(list, to: .array(containers)))
    }
    #expect(try mutation(of: pod, settings).patch == [])
    #expect(try validation(of: pod, settings).isAllowed)
  }

  @Test("in Istio's mode labels a pod with its workload and hands Istio's sidecar its key, and adds nothing else")
  func istioPods() throws {
    let spoofed = Pods.app.setting(
      "metadata",
      to: (Pods.app["metadata"] ?? .null).setting(
        "labels", to: ["pod-template-hash": "7d9c6b5f4", "casa.io/workload": "vault"]))
    for pod in [Pods.app, spoofed] {
      let made = try pod.patched(#require(try mutation(of: pod, istio).patch))
      #expect(made["metadata"]?["labels"]?["casa.io/workload"] == "teller")
      let containers = made["spec"]?["containers"]?.array ?? []
      #expect(containers.dropLast() == (pod["spec"]?["containers"]?.array ?? [])[...])
      #expect(containers.last == ["name": "istio-proxy", "image": "auto", "env": [Pods.sidecarKey(of: "teller")]])
      func rest(_ pod: JSONValue) -> [String: JSONValue]? { pod["spec"]?.object?.filter { $0.key != "containers" } }
      #expect(rest(made) == rest(pod))
    }
  }

  @Test("labels a pod with its workload, whatever its author wrote there")
  func workloadLabel() throws {
    let spoofed = Pods.app.setting(
      "metadata",
      to: (Pods.app["metadata"] ?? .null).setting(
        "labels", to: ["pod-template-hash": "7d9c6b5f4", "casa.io/workload": "vault"]))
    let made = try injected(spoofed)
    #expect(made["metadata"]?["labels"]?["casa.io/workload"] == "teller")
    #expect(try validation(of: made).isAllowed)
    let relabelled = made.setting(
      "metadata",
      to: (made["metadata"] ?? .null).setting(
        "labels", to: (made["metadata"]?["labels"] ?? .null).setting("casa.io/workload", to: "vault")))
    #expect(!(try validation(of: relabelled).isAllowed))
  }

  @Test("changes nothing when a pod is changed or removed")
  func nothing() throws {
    let update = try review(reviewJSON("UPDATE", object: Pods.app, old: Pods.app))
    #expect(PodInjection.patch(for: update, configuration: configuration()).patch == [])
    #expect(PodInjection.patch(for: try review(reviewJSON("DELETE")), configuration: configuration()).patch == [])
  }

  @Test("refuses hooks by HTTP, which would not get past interception")
  func hooks() throws {
    for hook in ["postStart", "preStop"] {
      let pod = Pods.app(container: ["lifecycle": .object([hook: ["httpGet": ["port": 8080]]])])
      #expect(try mutation(of: pod).reason.contains("lifecycle.\(hook).httpGet"))
      #expect(try mutation(of: Pods.app(container: ["lifecycle": .object([hook: ["exec": [:]]])])).isAllowed)
    }
  }
}

let istio = configuration {
  $0.mode = .istio
  $0.istioProxyImage = "istio/proxyv2:1"
}
