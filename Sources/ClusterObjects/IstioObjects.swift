import CASACore
public import CustomResources
import Enforcement
import Sidecar

/// What makes Istio's own Envoys ask the authorization service, in Istio mode.
///
/// No route is touched, since Istio makes those of names that it alone knows: the filters say of which direction they are,
/// and the authorization service finds the destination by the host that is asked for, which is also what Istio's routes
/// go by. So what was decided about is what is called. Istio's routes lead nowhere else: its registry is cut down to the
/// destinations of the workload.
public enum IstioObjects {
  /// The environment variable of the container `istio-proxy` that holds the workload's sidecar key, from the workload's
  /// Secret. Without it the authorization service knows none of the proxy's questions, and nothing passes. The key itself
  /// stands in no EnvoyFilter, which many may read.
  public static let keyVariable = "CASA_SIDECAR_KEY"

  /// - Parameter revisions: of namespaces: texts that differ whenever one of the workloads' Secrets does.
  public static func objects(
    of resolution: Resolution, revisions: [String: String] = [:], settings: ClusterSettings
  ) -> [ClusterObject] {
    guard settings.mode == .istio else { return [] }
    var objects: [ClusterObject] = []
    for (namespace, systems) in resolution.byNamespace {
      objects += AuthorizeObjects.objects(
        in: namespace, systems, revision: revisions[namespace], settings: settings)
      objects += llmObjects(in: namespace, systems, settings)
      for system in systems {
        for app in system.apps where app.app.workloadName != nil {
          let reach = Reach(of: app, in: system, settings: settings)
          objects += [filters(reach), sidecar(reach), portPolicy(reach)]
        }
      }
    }
    return objects
  }

  private static func object(
    _ reach: Reach, _ apiVersion: String, _ kind: String, _ spec: [String: JSONValue]
  ) -> ClusterObject {
    ClusterObject(
      apiVersion, kind, namespace: reach.namespace, name: "casa-workload-" + reach.workload,
      owners: [reach.system.object], ["spec": .object(spec)])
  }

  private static func labels(_ reach: Reach) -> JSONValue { [WorkloadLabel.key: .string(reach.label)] }

  // MARK: Envoy's filters

  private static func filters(_ reach: Reach) -> ClusterObject {
    func authorization(_ direction: String) -> ExternalAuthorization {
      ExternalAuthorization(
        cluster:
          "outbound|\(ClusterSettings.authorizationPort)||\(AuthorizeObjects.host(in: reach.namespace, reach.settings))",
        sidecarKey: "%ENVIRONMENT(\(keyVariable))%", direction: direction)
    }
    let (inbound, outbound) = (authorization(EnforcementPoint.ingress), authorization(EnforcementPoint.egress))
    // Each goes to the front, so that the last one here is the first there: nothing that a request holds is acted on, by
    // Istio's own filters either, before it is decided about. Those come after and may still refuse.
    let patches =
      [httpFilter("SIDECAR_INBOUND", inbound.check(clearsRouteCache: false))]
      + [ExternalAuthorization.unmarking, outbound.markedAnswerReading, outbound.check(clearsRouteCache: false)]
      .map { httpFilter("SIDECAR_OUTBOUND", $0) }
      + [("SIDECAR_INBOUND", EnforcementPoint.ingress), ("SIDECAR_OUTBOUND", EnforcementPoint.egress)]
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

  /// As strict as a sidecar of our own: what can be read in two ways is refused or made plain before anything is decided
  /// by it. What was refused or failed is logged, with the decision's id.
  private static func connectionManager(_ context: String, direction: String) -> JSONValue {
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
            "access_log": [EnvoyBootstrap.accessLogger("casa-" + direction, direction: direction)],
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
        "operation": "INSERT_BEFORE",
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
      "./" + AuthorizeObjects.host(in: reach.namespace, settings)
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

  /// The LLMs of a namespace, by their host: the app speaks plain HTTP under its name, and the proxy adds TLS.
  private static func llmObjects(
    in namespace: String, _ systems: [ResolvedSystem], _ settings: ClusterSettings
  ) -> [ClusterObject] {
    let used = systems.filter { system in
      system.apps.contains { $0.llm != nil }
        && system.object.llm?.service(from: namespace, settings: settings) == nil
    }
    let byHost = Dictionary(grouping: used) { $0.object.llm?.host ?? "" }
    return byHost.sorted { $0.key < $1.key }.flatMap { host, systems -> [ClusterObject] in
      // By the port that the app writes: where it leads, and whether by TLS.
      var ports: [Int: (target: Int, isTLS: Bool)] = [:]
      for llm in systems.compactMap(\.object.llm) { ports[llm.port] = (llm.port, llm.isTLS) }
      if let port = ports.keys.sorted().first(where: { ports[$0]?.isTLS == true }), ports[80] == nil {
        ports[80] = (port, true)
      }
      let sorted = ports.sorted { $0.key < $1.key }
      let entry = ClusterObject(
        "networking.istio.io/v1", "ServiceEntry", namespace: namespace, name: "casa-llm-" + host,
        owners: systems.map(\.object),
        [
          "spec": [
            "hosts": [.string(host)], "exportTo": ["."], "location": "MESH_EXTERNAL", "resolution": "DNS",
            "ports": .array(
              sorted.map {
                [
                  "number": .whole($0.key), "targetPort": .whole($0.value.target), "name": .string("http-\($0.key)"),
                  "protocol": "HTTP",
                ]
              }),
          ]
        ])
      let tls = sorted.filter(\.value.isTLS).map { port, _ -> JSONValue in
        [
          "port": ["number": .whole(port)],
          "tls": [
            "mode": "SIMPLE", "sni": .string(host), "subjectAltNames": [.string(host)],
            // Where Istio's proxies have the authorities that everybody knows.
            "caCertificates": "/etc/ssl/certs/ca-certificates.crt",
          ],
        ]
      }
      guard !tls.isEmpty else { return [entry] }
      let rule = ClusterObject(
        "networking.istio.io/v1", "DestinationRule", namespace: namespace, name: "casa-llm-" + host,
        owners: systems.map(\.object),
        [
          "spec": [
            "host": .string(host), "exportTo": ["."], "trafficPolicy": ["portLevelSettings": .array(tls)],
          ]
        ])
      return [entry, rule]
    }
  }
}
