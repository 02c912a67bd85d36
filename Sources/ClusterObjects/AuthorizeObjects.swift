import CASACore
import CustomResources

/// The authorization service of a system in Istio mode, where no container of ours stands beside the workloads.
///
/// Its pod is one of the mesh: Istio's sidecar before it demands mutual TLS, so nobody reads the keys by which it knows
/// its callers, and refuses whoever has no identity of the namespace. No filter of ours is in that sidecar, since they
/// are selected by `WorkloadLabel`, which this pod has not.
enum AuthorizeObjects {
  /// Of whichever system.
  static let component = ["app.kubernetes.io/name": "casa", "app.kubernetes.io/component": "authorize"]

  /// A Service's name: one label of DNS.
  static func name(of system: ResolvedSystem) -> String {
    let name = "casa-authorize-" + system.object.metadata.name
    guard name.contains(".") else { return WorkloadLabel.shortened(name, to: 63) }
    // Another system's name may have a hyphen where this one has a dot.
    return name.replacing(".", with: "-").prefix(46) + "-" + WorkloadLabel.digest(of: name).prefix(16)
  }

  static func labels(of system: ResolvedSystem) -> [String: String] {
    component.merging(["casa.io/system": WorkloadLabel.value(of: system.object.metadata.name)]) { $1 }
  }

  /// Not 1337, whose traffic Istio leaves alone.
  private static let user: JSONValue = 65532

  static func host(of system: ResolvedSystem, _ settings: ClusterSettings) -> String {
    settings.hostName(of: service(of: system))
  }

  static func service(of system: ResolvedSystem) -> ServiceAddress {
    ServiceAddress(
      namespace: system.object.metadata.namespace, name: name(of: system), port: ClusterSettings.authorizationPort)
  }

  /// - Parameter revision: differs whenever one of the Secrets does, so that the pods start anew with them.
  static func objects(
    of system: ResolvedSystem, revision: String?, settings: ClusterSettings
  ) -> [ClusterObject] {
    let workloads = system.apps.compactMap(\.app.workloadName).sorted()
    guard !workloads.isEmpty else { return [] }
    let (name, labels, namespace) = (name(of: system), labels(of: system), system.object.metadata.namespace)
    let selector: JSONValue = ["matchLabels": ClusterObject.texts(labels)]
    func object(_ apiVersion: String, _ kind: String, _ members: [String: JSONValue]) -> ClusterObject {
      ClusterObject(apiVersion, kind, of: system, name: name, labels: labels, members)
    }
    return [
      object("v1", "ServiceAccount", ["automountServiceAccountToken": false]),
      object(
        "v1", "Service",
        [
          "spec": [
            "selector": ClusterObject.texts(labels),
            "ports": [
              [
                "name": "grpc", "port": .whole(ClusterSettings.authorizationPort), "targetPort": "grpc",
                "protocol": "TCP", "appProtocol": "grpc",
              ]
            ],
          ]
        ]),
      object(
        "apps/v1", "Deployment",
        [
          "spec": [
            "replicas": .whole(settings.authorizeReplicas), "selector": selector,
            // The new one answers before the old one ends.
            "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": 0, "maxSurge": 1]],
            "template": template(workloads, of: system, revision, settings),
          ]
        ]),
      object(
        "security.istio.io/v1", "PeerAuthentication",
        ["spec": ["selector": selector, "mtls": ["mode": "STRICT"]]]),
      object(
        "security.istio.io/v1", "AuthorizationPolicy",
        [
          "spec": [
            "selector": selector, "action": "ALLOW",
            "rules": [
              [
                "from": [["source": ["namespaces": [.string(namespace)]]]],
                "to": [["operation": ["ports": [.string(String(ClusterSettings.authorizationPort))]]]],
              ]
            ],
          ]
        ]),
      object(
        "networking.istio.io/v1", "DestinationRule",
        [
          "spec": [
            "host": .string(host(of: system, settings)), "exportTo": ["."],
            "trafficPolicy": ["tls": ["mode": "ISTIO_MUTUAL"]],
          ]
        ]),
    ]
  }

  private static func template(
    _ workloads: [String], of system: ResolvedSystem, _ revision: String?, _ settings: ClusterSettings
  ) -> JSONValue {
    let places = workloads.enumerated().map { (name: "workload-\($0.offset)", workload: $0.element) }
    var metadata: [String: JSONValue] = [
      "labels": ClusterObject.texts(labels(of: system).merging(["sidecar.istio.io/inject": "true"]) { $1 })
    ]
    if let revision { metadata["annotations"] = ["casa.io/revision": .string(revision)] }
    let container: JSONValue = [
      "name": "casa-authorize", "image": .string(settings.image),
      "args": .texts(["authorize"] + places.map { "/etc/casa/\($0.workload)/\(WorkloadFile.Key.workload)" }),
      "ports": [["name": "grpc", "containerPort": .whole(ClusterSettings.authorizationPort), "protocol": "TCP"]],
      // It listens as soon as it has read all its workloads' files and secrets.
      "readinessProbe": ["tcpSocket": ["port": "grpc"], "periodSeconds": 2],
      "livenessProbe": ["tcpSocket": ["port": "grpc"], "periodSeconds": 10],
      "resources": ["requests": ["cpu": "50m", "memory": "64Mi"], "limits": ["memory": "512Mi"]],
      "securityContext": [
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": ["drop": ["ALL"]],
      ],
      "volumeMounts": .array(
        places.map {
          ["name": .string($0.name), "mountPath": .string("/etc/casa/" + $0.workload), "readOnly": true]
        }),
    ]
    return [
      "metadata": .object(metadata),
      "spec": [
        "serviceAccountName": .string(name(of: system)), "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": [
          "runAsNonRoot": true, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
          "seccompProfile": ["type": "RuntimeDefault"],
        ],
        "containers": [container],
        "volumes": .array(
          places.map {
            [
              "name": .string($0.name),
              // 0440
              "secret": ["secretName": .string(WorkloadFile.secretName(of: $0.workload)), "defaultMode": 288],
            ]
          }),
      ],
    ]
  }
}
