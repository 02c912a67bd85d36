import CASACore
import CustomResources
import Enforcement
import Sidecar

/// What makes Istio's own Envoys ask the authorization service, in Istio mode.
///
/// No route is touched, since Istio makes those of names that it alone knows: the filters say of which direction they
/// are, and the authorization service finds the destination by the host that is asked for, which is also what Istio's
/// routes go by. So what was decided about is what is called. Istio's routes lead nowhere else: its registry is cut
/// down to the destinations of the workload.
enum IstioObjects {
  /// The environment variable of the container `istio-proxy` that holds the workload's sidecar key, from the workload's
  /// Secret. Without it the authorization service knows none of the proxy's questions, and nothing passes. The key
  /// itself stands in no EnvoyFilter, which many may read.
  static let keyVariable = "CASA_SIDECAR_KEY"

  /// - Parameter revision: differs whenever one of the workloads' Secrets does.
  static func objects(of system: ResolvedSystem, revision: String?, settings: ClusterSettings) -> [ClusterObject] {
    var objects = AuthorizeObjects.objects(of: system, revision: revision, settings: settings)
    objects += llmObjects(system, settings)
    for app in system.apps where app.app.workloadName != nil {
      let reach = Reach(of: app, in: system, settings: settings)
      objects += [filters(reach), sidecar(reach), portPolicy(reach), telemetry(reach)]
    }
    return objects
  }

  private static func object(
    _ reach: Reach, _ apiVersion: String, _ kind: String, _ spec: [String: JSONValue]
  ) -> ClusterObject {
    ClusterObject(
      apiVersion, kind, of: reach.system, name: WorkloadFile.secretName(of: reach.workload), ["spec": .object(spec)])
  }

  private static func labels(_ reach: Reach) -> JSONValue { [WorkloadLabel.key: .string(reach.label)] }

  // MARK: Envoy's filters

  private static func filters(_ reach: Reach) -> ClusterObject {
    func authorization(_ direction: Direction) -> ExternalAuthorization {
      ExternalAuthorization(
        cluster:
          "outbound|\(ClusterSettings.authorizationPort)||\(AuthorizeObjects.host(of: reach.system, reach.settings))",
        sidecarKey: "%ENVIRONMENT(\(keyVariable))%", direction: direction)
    }
    let (inbound, outbound) = (authorization(.ingress), authorization(.egress))
    // Each goes to the front, so that the last one here is the first there: nothing that a request holds is acted on,
    // by Istio's own filters either, before it is decided about. Those come after and may still refuse.
    let patches =
      [httpFilter("SIDECAR_INBOUND", inbound.check(clearsRouteCache: false))]
      + [ExternalAuthorization.unmarking, outbound.markedAnswerReading, outbound.check(clearsRouteCache: false)]
      .map { httpFilter("SIDECAR_OUTBOUND", $0) }
      + [("SIDECAR_INBOUND", Direction.ingress), ("SIDECAR_OUTBOUND", Direction.egress)]
      .flatMap { [connectionManager($0, direction: $1), closing($0)] }
    return object(
      reach, "networking.istio.io/v1alpha3", "EnvoyFilter",
      [
        "workloadSelector": ["labels": labels(reach)],
        // After those of others, whose filters would otherwise come first.
        "priority": 1000, "configPatches": .array(patches),
      ])
  }

  private static func match(_ context: String, filter: String) -> JSONValue {
    ["context": .string(context), "listener": ["filterChain": ["filter": ["name": .string(filter)]]]]
  }

  private static let manager = "envoy.filters.network.http_connection_manager"

  private static func httpFilter(_ context: String, _ filter: JSONValue) -> JSONValue {
    [
      "applyTo": "HTTP_FILTER", "match": match(context, filter: manager),
      "patch": ["operation": "INSERT_FIRST", "value": filter],
    ]
  }

  /// As strict as a sidecar of our own: what can be read in two ways is refused or made plain before anything is
  /// decided by it. What was refused or failed is logged, with the decision's id.
  private static func connectionManager(_ context: String, direction: Direction) -> JSONValue {
    [
      "applyTo": "NETWORK_FILTER", "match": match(context, filter: manager),
      "patch": [
        "operation": "MERGE",
        "value": [
          "name": .string(manager),
          "typed_config": [
            "@type":
              "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "normalize_path": true, "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "request_headers_timeout": "10s",
            "common_http_protocol_options": [
              "max_headers_count": 100, "headers_with_underscores_action": "REJECT_REQUEST",
            ],
            "access_log": [EnvoyBootstrap.accessLogger("casa-" + direction.rawValue, direction: direction)],
          ],
        ],
      ],
    ]
  }

  /// Closes what is not HTTP, of which nobody could be asked about: Istio hands such connections on where a Service's
  /// port has no protocol.
  private static func closing(_ context: String) -> JSONValue {
    [
      "applyTo": "NETWORK_FILTER", "match": match(context, filter: "envoy.filters.network.tcp_proxy"),
      "patch": [
        "operation": "REPLACE",
        "value": [
          "name": "casa.closing",
          "typed_config": [
            "@type": "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config",
            "response": ["inline_string": ""],
          ],
        ],
      ],
    ]
  }

  // MARK: Istio's own

  /// What the workload's proxy knows of at all. Whatever else is asked for leads nowhere.
  private static func sidecar(_ reach: Reach) -> ClusterObject {
    let settings = reach.settings
    var hosts = [
      "./" + AuthorizeObjects.host(of: reach.system, settings)
    ]
    let services =
      reach.calls.map(\.service)
      + (reach.app.llm?.service(from: reach.namespace, settings: settings).map { [$0] } ?? [])
    hosts += services.map { "\($0.namespace)/\(settings.hostName(of: $0))" }
    if let llm = reach.externalLLM { hosts.append("./" + llm.host) }
    return object(
      reach, "networking.istio.io/v1", "Sidecar",
      [
        "workloadSelector": ["labels": labels(reach)], "outboundTrafficPolicy": ["mode": "REGISTRY_ONLY"],
        "egress": [["hosts": .texts(hosts)]],
      ])
  }

  /// Calls enter at the app's port only, and none where the workload takes no calls.
  private static func portPolicy(_ reach: Reach) -> ClusterObject {
    var spec: [String: JSONValue] = ["selector": ["matchLabels": labels(reach)]]
    if let port = reach.entrancePort {
      spec["action"] = "DENY"
      spec["rules"] = [["to": [["operation": ["notPorts": [.string(String(port))]]]]]]
    } else {
      // A policy that allows nothing.
      spec["action"] = "ALLOW"
    }
    return object(reach, "security.istio.io/v1", "AuthorizationPolicy", spec)
  }

  /// The mesh's access logs hold whole paths, and whoever calls may write a token into one. What is logged of the
  /// workload is what our filters log.
  private static func telemetry(_ reach: Reach) -> ClusterObject {
    object(
      reach, "telemetry.istio.io/v1", "Telemetry",
      ["selector": ["matchLabels": labels(reach)], "accessLogging": [["disabled": true]]])
  }

  /// The LLM outside: the app speaks plain HTTP under its name, and the proxy adds TLS.
  private static func llmObjects(_ system: ResolvedSystem, _ settings: ClusterSettings) -> [ClusterObject] {
    guard let llm = system.object.llm, system.apps.contains(where: { $0.llm != nil }),
      llm.service(from: system.object.metadata.namespace, settings: settings) == nil
    else { return [] }
    // Other systems of the namespace may have the same host: each says the same of it.
    let name = "casa-llm-" + system.object.metadata.name
    let ports = llm.isTLS && llm.port != 80 ? [80, llm.port] : [llm.port]
    let entry = ClusterObject(
      "networking.istio.io/v1", "ServiceEntry", of: system, name: name,
      [
        "spec": [
          "hosts": [.string(llm.host)], "exportTo": ["."], "location": "MESH_EXTERNAL", "resolution": "DNS",
          "ports": .array(
            ports.map {
              [
                "number": .whole($0), "targetPort": .whole(llm.port), "name": .string("http-\($0)"),
                "protocol": "HTTP",
              ]
            }),
        ]
      ])
    guard llm.isTLS else { return [entry] }
    let rule = ClusterObject(
      "networking.istio.io/v1", "DestinationRule", of: system, name: name,
      [
        "spec": [
          "host": .string(llm.host), "exportTo": ["."],
          "trafficPolicy": [
            "tls": [
              "mode": "SIMPLE", "sni": .string(llm.host), "subjectAltNames": [.string(llm.host)],
              // Where Istio's proxies have the authorities that everybody knows.
              "caCertificates": "/etc/ssl/certs/ca-certificates.crt",
            ]
          ],
        ]
      ])
    return [entry, rule]
  }
}
