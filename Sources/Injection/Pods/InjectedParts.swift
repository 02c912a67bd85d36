import CASACore
import CustomResources
import Sidecar

/// What injection puts into a pod. Every member that Kubernetes would fill in is written out, so that what is stored
/// can be compared with what was put.
struct InjectedParts {
  /// Names that begin so are ours alone, of containers and volumes.
  static let reservedPrefix = "casa-"
  static let intercept = "casa-intercept"
  static let authorize = "casa-authorize"
  static let sidecar = "casa-sidecar"
  static let containerNames: Set<String> = [intercept, authorize, sidecar]
  static let runVolume = "casa-run"
  static let workloadVolume = "casa-workload"
  static let volumeNames: Set<String> = [runVolume, workloadVolume]
  static let label = "casa.io/injected"
  /// What injection writes into a pod's metadata.
  static let marks = [
    ("labels", label), ("labels", WorkloadLabel.key), ("annotations", imageAnnotation),
  ]
  static let imageAnnotation = "casa.io/sidecar-image"
  /// Where a namespace says that its pods are guarded, and where a pod may not say that it isn't.
  static let injectionLabel = "casa.io/injection"
  static let ownDomain = "casa.io/"

  static let proxyUser = Int64(InterceptionRules.defaultProxyUser)
  static let probePort = InterceptionRules.defaultProbePort
  static let ports: Set<Int64> = [
    Int64(InterceptionRules.defaultInboundPort), Int64(InterceptionRules.defaultOutboundPort), Int64(probePort),
  ]

  let configuration: InjectionConfiguration
  /// Whose Secret is mounted.
  let workload: String

  /// The containers that go before the app's own init containers, in their order.
  func initContainers(probes: WorkloadProbes) -> [JSONValue] {
    configuration.usesNativeSidecars
      ? [interception] + sidecars(probes: probes).map { $0.setting("restartPolicy", to: "Always") } : [interception]
  }

  /// The containers that go before the app's own.
  func containers(probes: WorkloadProbes) -> [JSONValue] {
    configuration.usesNativeSidecars ? [] : sidecars(probes: probes)
  }

  var volumes: [JSONValue] {
    [
      ["name": .string(Self.runVolume), "emptyDir": ["medium": "Memory", "sizeLimit": "16Mi"]],
      [
        "name": .string(Self.workloadVolume),
        // Only our containers mount it. They run as no owner of these files, and a group could be given them by the
        // pod's fsGroup alone, which is the app's.
        "secret": ["secretName": .string(WorkloadName.secretPrefix + workload), "defaultMode": 0o444],
      ],
    ]
  }

  private var interception: JSONValue {
    container(
      Self.intercept,
      command: [
        "casa", "sidecar", "intercept", "--proxy-uid", "\(Self.proxyUser)", "--probe-port", "\(Self.probePort)",
      ],
      // Where the older of the two packet filters keeps its lock; the root file system can't be written.
      environment: [("XTABLES_LOCKFILE", "/run/casa/xtables.lock")],
      mountsWorkload: false,
      security: security(
        user: 0, capabilities: ["drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]]),
      resources: resources(cpu: ("10m", "500m"), memory: ("32Mi", "128Mi")))
  }

  private func sidecars(probes: WorkloadProbes) -> [JSONValue] {
    let security = security(user: Self.proxyUser, capabilities: ["drop": ["ALL"]])
    let authorize = container(
      Self.authorize, command: ["casa", "authorize", "/etc/casa/workload.yaml"], mountsWorkload: true,
      security: security, resources: resources(cpu: ("50m", "1"), memory: ("64Mi", "256Mi")))
    let sidecar = container(
      Self.sidecar,
      command: [
        "casa", "sidecar", "/etc/casa/workload.yaml", "--directory", "/run/casa/envoy", "--probes-listen",
        "0.0.0.0:\(Self.probePort)",
      ],
      environment: [(WorkloadProbes.variable, probes.text)], mountsWorkload: true, security: security,
      resources: resources(cpu: ("100m", "1"), memory: ("128Mi", "512Mi")))
    // It answers for both: the app starts once the authorization service listens and Envoy takes requests.
    return [
      authorize,
      sidecar.setting("startupProbe", to: readiness(period: 1, failures: 120))
        .setting("readinessProbe", to: readiness(period: 5, failures: 2)),
    ]
  }

  private func readiness(period: Int64, failures: Int64) -> JSONValue {
    [
      "httpGet": Self.handler(path: WorkloadProbes.readinessPath), "periodSeconds": .number(Double(period)),
      "timeoutSeconds": 3, "successThreshold": 1, "failureThreshold": .number(Double(failures)),
    ]
  }

  /// How the kubelet asks the sidecar.
  static func handler(path: String) -> JSONValue {
    ["path": .string(path), "port": .number(Double(probePort)), "scheme": "HTTP"]
  }

  private func container(
    _ name: String, command: [String], environment: [(String, String)] = [], mountsWorkload: Bool,
    security: JSONValue, resources: JSONValue
  ) -> JSONValue {
    var mounts: [JSONValue] = [["name": .string(Self.runVolume), "mountPath": "/run/casa"]]
    if mountsWorkload {
      mounts.append(["name": .string(Self.workloadVolume), "mountPath": "/etc/casa", "readOnly": true])
    }
    let container: JSONValue = [
      "name": .string(name), "image": .string(configuration.image),
      "imagePullPolicy": .string(configuration.pullPolicy.rawValue), "command": .array(command.map { .string($0) }),
      "securityContext": security, "resources": resources, "volumeMounts": .array(mounts),
      "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    ]
    guard !environment.isEmpty else { return container }
    return container.setting(
      "env", to: .array(environment.map { ["name": .string($0.0), "value": .string($0.1)] }))
  }

  private func security(user: Int64, capabilities: JSONValue) -> JSONValue {
    [
      "runAsUser": .number(Double(user)), "runAsGroup": .number(Double(user)), "runAsNonRoot": .bool(user != 0),
      "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
      "capabilities": capabilities, "seccompProfile": ["type": "RuntimeDefault"],
    ]
  }

  private func resources(cpu: (String, String), memory: (String, String)) -> JSONValue {
    [
      "requests": ["cpu": .string(cpu.0), "memory": .string(memory.0)],
      "limits": ["cpu": .string(cpu.1), "memory": .string(memory.1)],
    ]
  }
}
