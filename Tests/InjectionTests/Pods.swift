import AgentProtocols
import CASACore

@testable import Injection

/// Pods and reviews as the API server sends them.
enum Pods {
  /// The variable by which Istio's sidecar has a workload's key.
  static func sidecarKey(of workload: String) -> JSONValue {
    [
      "name": "CASA_SIDECAR_KEY",
      "valueFrom": ["secretKeyRef": ["name": .string("casa-workload-" + workload), "key": "sidecar-key"]],
    ]
  }

  /// As Istio makes it, with what `/mutate` put into it before.
  static let istioProxy: JSONValue = [
    "name": "istio-proxy", "image": "istio/proxyv2:1", "securityContext": ["runAsUser": 1337],
    "volumeMounts": [["name": "istio-token", "mountPath": "/var/run/secrets/tokens"]],
    "env": [["name": "POD_NAME", "value": "x"], sidecarKey(of: "teller")],
  ]

  /// A pod that went through `/mutate` and Istio, with more labels and annotations.
  static func withIstio(
    labels: [String: JSONValue] = [:], annotations: [String: JSONValue] = [:], proxy: JSONValue? = istioProxy,
    workload: JSONValue? = "teller"
  ) -> JSONValue {
    let restricted = container([
      "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]]
    ])
    let made = app(spec: [
      "securityContext": ["runAsUser": 1000, "runAsGroup": 1000],
      "containers": .array([restricted] + (proxy.map { [$0] } ?? [])),
    ])
    var metadata = made["metadata"] ?? .null
    let all = (metadata["labels"]?.object ?? [:]).merging(labels) { $1 }
    metadata = metadata.setting("labels", to: JSONValue.object(all).setting("casa.io/workload", to: workload))
    return made.setting("metadata", to: metadata.setting("annotations", to: .object(annotations)))
  }

  /// A Deployment's pod that keeps to every rule.
  static let app: JSONValue = [
    "apiVersion": "v1", "kind": "Pod",
    "metadata": [
      "generateName": "teller-7d9c6b5f4-", "namespace": "bank",
      "labels": ["app": "teller", "pod-template-hash": "7d9c6b5f4"],
      "ownerReferences": [
        [
          "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "teller-7d9c6b5f4", "uid": "u-1", "controller": true,
        ]
      ],
    ],
    "spec": [
      "securityContext": ["runAsUser": 1000],
      "containers": [
        [
          "name": "app", "image": "registry.example/teller:1",
          "ports": [["name": "http", "containerPort": 8080, "protocol": "TCP"]],
          "livenessProbe": ["httpGet": ["path": "/healthz", "port": "http", "scheme": "HTTP"], "timeoutSeconds": 2],
          "readinessProbe": ["exec": ["command": ["true"]]],
          "startupProbe": ["grpc": ["port": 9000, "service": "ready"], "failureThreshold": 30],
        ]
      ],
      "volumes": [["name": "scratch", "emptyDir": [:]]],
    ],
  ]

  static func container(_ change: [String: JSONValue] = [:]) -> JSONValue {
    var container = app["spec"]?["containers"]?.array?[0] ?? .null
    for (name, value) in change { container = container.setting(name, to: value) }
    return container
  }

  /// `app` with members of its specification set.
  static func app(spec change: [String: JSONValue]) -> JSONValue {
    var spec = app["spec"] ?? .null
    for (name, value) in change { spec = spec.setting(name, to: value) }
    return app.setting("spec", to: spec)
  }

  /// `app` with members of its metadata set.
  static func app(metadata change: [String: JSONValue]) -> JSONValue {
    var metadata = app["metadata"] ?? .null
    for (name, value) in change { metadata = metadata.setting(name, to: value) }
    return app.setting("metadata", to: metadata)
  }

  /// `app` with members of its container set.
  static func app(container change: [String: JSONValue]) -> JSONValue { app(spec: ["containers": [container(change)]]) }

  /// `app` with members of its container's security context set.
  static func app(security: JSONValue) -> JSONValue { app(container: ["securityContext": security]) }
}

/// The JSON of a review.
func reviewJSON(
  _ operation: String = "CREATE", object: JSONValue? = nil, old: JSONValue? = nil, group: String = "",
  resource: String = "pods", subresource: String? = nil, kind: String = "Pod", name: String = "",
  user: String = "jane", groups: [String] = []
) -> JSONValue {
  var request: [String: JSONValue] = [
    "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
    "kind": ["group": .string(group), "version": "v1", "kind": .string(kind)],
    "resource": ["group": .string(group), "version": "v1", "resource": .string(resource)], "name": .string(name),
    "namespace": "bank", "operation": .string(operation),
    "userInfo": ["username": .string(user), "groups": .array(groups.map { .string($0) })],
    "object": object ?? .null, "oldObject": old ?? .null, "dryRun": false,
  ]
  if let subresource { request["subResource"] = .string(subresource) }
  return ["apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": .object(request)]
}

func review(_ json: JSONValue) throws -> AdmissionReview { try AdmissionReview(parsing: json.canonicalBytes) }

func configuration(_ change: (inout InjectionConfiguration) -> Void = { _ in }) -> InjectionConfiguration {
  var configuration = InjectionConfiguration(image: "registry.example/casa:1")
  change(&configuration)
  return configuration
}

func mutation(of pod: JSONValue, _ settings: InjectionConfiguration = configuration()) throws -> AdmissionResponse {
  PodInjection.patch(for: try review(reviewJSON(object: pod)), configuration: settings)
}

func validation(of pod: JSONValue, _ settings: InjectionConfiguration = configuration()) throws -> AdmissionResponse {
  PodValidation.response(to: try review(reviewJSON(object: pod)), configuration: settings)
}

/// The pod as the API server has it after the mutation, which must be allowed.
func injected(_ pod: JSONValue, _ settings: InjectionConfiguration = configuration()) throws -> JSONValue {
  let response = try mutation(of: pod, settings)
  guard case .allowed(let patch) = response.outcome else { throw Unexpected("refused: \(response.reason)") }
  return try pod.patched(patch)
}

struct Unexpected: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension AdmissionResponse {
  /// Why it was refused; empty when it was not.
  var reason: String {
    guard case .refused(let refusal) = outcome else { return "" }
    return refusal.description
  }

  var patch: [JSONPatchOperation]? {
    guard case .allowed(let patch) = outcome else { return nil }
    return patch
  }
}

extension JSONValue {
  /// This value after a JSON Patch, by the words of RFC 6902: nothing is made on the way to a place.
  func patched(_ patch: [JSONPatchOperation]) throws -> JSONValue {
    var value = self
    for step in patch {
      guard step.path.isEmpty || step.path.hasPrefix("/") else { throw Unexpected("no pointer: \(step.path)") }
      let names = step.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        .map { String($0).replacing("~1", with: "/").replacing("~0", with: "~") }
      value = try value.setting(names[...], step.kind, step.value)
    }
    return value
  }

  private func setting(_ names: ArraySlice<String>, _ kind: JSONPatchOperation.Kind, _ value: JSONValue) throws
    -> JSONValue
  {
    guard let name = names.first else { return value }
    switch self {
    case .object(var members):
      if names.count == 1 {
        guard kind == .add || members[name] != nil else { throw Unexpected("nothing to replace at \(name)") }
        members[name] = value
      } else {
        guard let inner = members[name] else { throw Unexpected("nothing at \(name)") }
        members[name] = try inner.setting(names.dropFirst(), kind, value)
      }
      return .object(members)
    case .array(var elements):
      let index = name == "-" ? elements.count : Int(name)
      guard let index, index >= 0 else { throw Unexpected("no index: \(name)") }
      if names.count > 1 {
        guard elements.indices.contains(index) else { throw Unexpected("nothing at \(name)") }
        elements[index] = try elements[index].setting(names.dropFirst(), kind, value)
      } else if kind == .add {
        guard index <= elements.count else { throw Unexpected("beyond the end: \(name)") }
        elements.insert(value, at: index)
      } else {
        guard elements.indices.contains(index) else { throw Unexpected("nothing at \(name)") }
        elements[index] = value
      }
      return .array(elements)
    default: throw Unexpected("no members at \(name)")
    }
  }

  func containers(_ list: String) -> [JSONValue] { self["spec"]?[list]?.array ?? [] }
  func container(_ name: String) -> JSONValue? {
    (containers("initContainers") + containers("containers")).first { $0["name"]?.string == name }
  }
}
