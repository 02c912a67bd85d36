import AgentProtocols
public import CASACore
public import Enforcement

/// The configuration with which a workload's Envoy starts: one listener for what enters, one for each destination,
/// and before every one of them the question to the authorization service.
public struct EnvoyBootstrap: Sendable {
  /// A larger body is refused with 413; nothing is ever checked in part.
  public static let maximumBodyBytes = RequestEnvelope.maximumBodyBytes

  let workload: Workload
  private let key: SidecarKey
  private let adminSocket: String?
  private let accessLog: String
  private let logsAdmitted: Bool

  /// - Parameters:
  ///   - adminSocket: the Unix socket of Envoy's administration; nil switches it off.
  ///   - accessLog: a file, or `/dev/stdout`, for what was refused or failed.
  ///   - logsAdmitted: whether the access log tells of all other requests too. The trace does in any case.
  public init(
    workload: Workload, key: SidecarKey, adminSocket: String? = nil, accessLog: String = "/dev/stdout",
    logsAdmitted: Bool = false
  ) {
    self.workload = workload
    self.key = key
    self.adminSocket = adminSocket
    self.accessLog = accessLog
    self.logsAdmitted = logsAdmitted
  }

  /// JSON, which Envoy reads as well as YAML. It holds the sidecar's key.
  public var text: String { json.canonicalText }

  var json: JSONValue {
    var listeners: [JSONValue] = []
    var clusters = [authorizationCluster]
    if let ingress = workload.ingress {
      if let address = ingress.listen {
        listeners.append(
          listener(.ingress, address: address, routes: routes(to: ingress.app)))
      }
      clusters.append(cluster("to-ingress", ingress.app, idleTime: Self.idleTimeNearby))
    }
    for (index, egress) in workload.egress.enumerated() {
      let way = Listener.egress(index)
      if let address = egress.listen {
        listeners.append(listener(way, address: address, routes: routes(by: way, to: egress)))
      }
      clusters.append(cluster("to-" + way.name, egress.url, idleTime: Self.idleTime(egress)))
    }
    if let interception = workload.interception { listeners += interceptors(interception) }
    var members: [String: JSONValue] = [
      "node": ["id": .string(workload.clientID.rawValue), "cluster": "casa"],
      "static_resources": ["listeners": .array(listeners), "clusters": .array(clusters)],
      "overload_manager": [
        "resource_monitors": [
          [
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": [
              "@type":
                "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
              "max_active_downstream_connections": 10_000,
            ],
          ]
        ]
      ],
    ]
    if let adminSocket { members["admin"] = ["address": ["pipe": ["path": .string(adminSocket), "mode": 384]]] }
    return .object(members)
  }

  // MARK: Listeners

  private func listener(_ listener: Listener, address: ListenAddress, routes: [[String: JSONValue]]) -> JSONValue {
    [
      "name": .string(listener.name), "address": Self.address(address),
      "per_connection_buffer_limit_bytes": .number(Double(Self.maximumBodyBytes)),
      "filter_chains": [
        [
          "filters": [
            [
              "name": "envoy.filters.network.http_connection_manager",
              "typed_config": connectionManager(listener, routes: routes),
            ]
          ]
        ]
      ],
    ]
  }

  private func connectionManager(_ listener: Listener, routes: [[String: JSONValue]]) -> JSONValue {
    let readers = listener.direction == .egress ? [answerFilter] : []
    return connectionManager(
      listener.name, listener.direction, filters: authorizationFilters(listener) + readers,
      virtualHosts: [["name": "all", "domains": ["*"], "routes": .array(routes.map(JSONValue.object))]])
  }

  /// - Parameter listener: what the access log names; a command of Envoy's log format, or a name.
  func connectionManager(
    _ name: String, _ direction: Direction, listener: String? = nil, filters: [JSONValue], virtualHosts: [JSONValue]
  ) -> JSONValue {
    let router: JSONValue = [
      "name": "envoy.filters.http.router",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true,
        // Counting each status by cluster, which the listener counts too, takes a twentieth of a request's time.
        "dynamic_stats": false,
      ],
    ]
    return [
      "@type":
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      "stat_prefix": .string(name), "codec_type": "AUTO",
      // A peer that sends slowly is cut off; one that listens to a stream is not. Headers have no time-out of their own:
      // another timer for each request would take a hundredth of its time.
      "request_timeout": "15s", "stream_idle_timeout": "300s",
      "max_request_headers_kb": 32,
      "common_http_protocol_options": [
        "idle_timeout": "300s", "max_headers_count": 100, "headers_with_underscores_action": "REJECT_REQUEST",
      ],
      // What can be read in two ways is refused. A path is decided about as it was sent, and only plain ones pass.
      "normalize_path": false, "merge_slashes": false, "path_with_escaped_slashes_action": "REJECT_REQUEST",
      "server_header_transformation": "PASS_THROUGH", "use_remote_address": true, "skip_xff_append": true,
      // A request has its trace, and a refusal its decision.
      "generate_request_id": false,
      "http_filters": .array(filters + [router]),
      "access_log": [
        Self.accessLogger(listener ?? name, direction: direction, to: accessLog, logsAdmitted: logsAdmitted)
      ],
      "route_config": ["virtual_hosts": .array(virtualHosts)],
    ]
  }

  /// Where the requests to the app go.
  func routes(to app: HTTPEndpoint) -> [[String: JSONValue]] {
    [route(.ingress, removing: Self.envoysOwnFields, to: app, [:])]
  }

  /// Where the requests go that leave by `way`. One that was marked when it was admitted takes the first route, on
  /// which its answer is read; the mark ends there. No other leads to the LLM, whose answers are all read.
  /// - Parameter settings: what each route tells the filters besides.
  func routes(by way: Listener, to egress: Workload.Egress, settings: [String: JSONValue] = [:])
    -> [[String: JSONValue]]
  {
    var marked = route(
      way, removing: Self.envoysOwnFields + [Admission.readAnswerHeader], to: egress.url,
      settings.merging(ExternalAuthorization.answerReadingSettings) { $1 })
    marked["match"] = [
      "prefix": "/", "headers": [["name": .string(Admission.readAnswerHeader), "present_match": true]],
    ]
    switch egress.destination {
    case .app: return [marked, route(way, removing: Self.envoysOwnFields, to: egress.url, settings)]
    case .llm:
      let refusal = Refusal(.llmResponseUnreadable, "nobody would read the answer to this request")
      return [marked, Self.refusing(refusal, on: way.name, authorizationSettings(way).merging(settings) { $1 })]
    }
  }

  private func route(
    _ listener: Listener, removing names: [String], to upstream: HTTPEndpoint, _ settings: [String: JSONValue]
  ) -> [String: JSONValue] {
    [
      "name": .string(listener.name), "match": ["prefix": "/"],
      "route": [
        "cluster": .string("to-" + listener.name), "timeout": "0s",
        "host_rewrite_literal": .string(upstream.authority),
      ],
      "request_headers_to_remove": .array(names.map(JSONValue.string)),
      "typed_per_filter_config": .object(authorizationSettings(listener).merging(settings) { $1 }),
    ]
  }

  /// What ext_authz tells the authorization service of the listener; the other adapters say it themselves.
  private func authorizationSettings(_ listener: Listener) -> [String: JSONValue] {
    guard case .grpc = workload.adapter else { return [:] }
    return [
      "envoy.filters.http.ext_authz": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "check_settings": [
          "context_extensions": [
            "casa.direction": .string(listener.direction.rawValue), "casa.listener": .string(listener.name),
          ]
        ],
      ]
    ]
  }

  /// Answers 403 to whatever no route before takes.
  static func refusing(
    _ refusal: Refusal, on name: String, match: JSONValue = ["prefix": "/"], _ settings: [String: JSONValue]
  ) -> [String: JSONValue] {
    let body = RefusalBody(refusal, record: nil)
    return [
      "name": .string(name), "match": match,
      "direct_response": ["status": 403, "body": ["inline_string": .string(body.text)]],
      "response_headers_to_add": [
        [
          "header": ["key": "content-type", "value": .string(body.contentType)],
          "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        ]
      ],
      "typed_per_filter_config": .object(settings),
    ]
  }

  /// What Envoy tells of the caller's address. Fields that would be orders to an Envoy behind are taken out by Envoy
  /// itself, or refused when the request is decided about.
  private static let envoysOwnFields = ["x-envoy-external-address"]

  // MARK: Filters

  private var externalAuthorization: ExternalAuthorization {
    ExternalAuthorization(cluster: "authorization", sidecarKey: key.text)
  }

  /// What asks the authorization service about each request of a listener.
  func authorizationFilters(_ listener: Listener) -> [JSONValue] {
    switch workload.adapter {
    case .grpc: [externalAuthorization.check(clearsRouteCache: listener.direction == .egress)]
    case .lua: [LuaFilter(key: key, listener: listener.name).script, LuaFilter.guardian]
    case .module: [moduleFilter(listener)]
    }
  }

  /// The same for one listener of Envoy's that stands for all ways out. What knows only one of them is switched on by
  /// the routes of that one; see `outboundSettings`.
  var outboundFilters: [JSONValue] {
    let ways = workload.egress.indices.map { Listener.egress($0) }
    func switchedOff(_ filter: JSONValue, _ way: Listener) -> JSONValue {
      .object((filter.object ?? [:]).merging(["name": .string(Self.filterName(way)), "disabled": true]) { $1 })
    }
    switch workload.adapter {
    case .grpc: return [externalAuthorization.check(clearsRouteCache: true)]
    case .lua:
      return ways.map { switchedOff(LuaFilter(key: key, listener: $0.name).script, $0) } + [LuaFilter.guardian]
    case .module: return ways.map { switchedOff(moduleFilter($0), $0) }
    }
  }

  /// What a route of the listener for all ways out must say, so that its requests are asked about.
  func outboundSettings(_ way: Listener) -> [String: JSONValue] {
    guard workload.adapter != .grpc else { return [:] }
    return [Self.filterName(way): ["@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": [:]]]
  }

  private static func filterName(_ listener: Listener) -> String { "casa." + listener.name }

  private func moduleFilter(_ listener: Listener) -> JSONValue {
    // Every listener of this bootstrap is one of the workload's; Envoy refuses to start without the filter's settings.
    guard let point = workload.enforcementPoints[listener] else { return ["name": "casa.no_such_listener"] }
    return DynamicModuleFilter(key: key, listener: listener.name, point: point).filter
  }

  var answerFilter: JSONValue { externalAuthorization.answerReading }

  /// One JSON line for each request that was refused or failed, with the decision's id.
  /// - Parameters:
  ///   - name: of the listener; a command of Envoy's log format, or a name.
  ///   - logsAdmitted: whether there is one for all other requests too.
  public static func accessLogger(
    _ name: String, direction: Direction, to accessLog: String = "/dev/stdout", logsAdmitted: Bool = false
  ) -> JSONValue {
    let format: JSONValue = [
      // No path: of requests that pass there is only one, and in others somebody's token could stand.
      "json_format": [
        "time": "%START_TIME%", "listener": .string(name), "direction": .string(direction.rawValue),
        "method": "%REQ(:METHOD)%", "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%", "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "duration_ms": "%DURATION%",
        "bytes_in": "%BYTES_RECEIVED%", "bytes_out": "%BYTES_SENT%",
        "refused_decision": "%RESP(X-CASA-DECISION)%",
        "decision": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision)%",
      ]
    ]
    // A user other than the one who opened standard output could not open it again by its path.
    let isStandardOutput = accessLog == "/dev/stdout"
    let type = isStandardOutput ? "stream.v3.StdoutAccessLog" : "file.v3.FileAccessLog"
    var settings: [String: JSONValue] = [
      "@type": .string("type.googleapis.com/envoy.extensions.access_loggers." + type), "log_format": format,
    ]
    if !isStandardOutput { settings["path"] = .string(accessLog) }
    var logger: [String: JSONValue] = [
      "name": .string("envoy.access_loggers." + (isStandardOutput ? "stdout" : "file")),
      "typed_config": .object(settings),
    ]
    if !logsAdmitted {
      let isError: JSONValue = [
        "status_code_filter": [
          "comparison": ["op": "GE", "value": ["default_value": 400, "runtime_key": "casa.access_log.status"]]
        ]
      ]
      // Of an answer that was cut off, or of none, the status says nothing.
      logger["filter"] = ["or_filter": ["filters": [isError, ["response_flag_filter": [:]]]]]
    }
    return .object(logger)
  }

  // MARK: Clusters

  private var authorizationCluster: JSONValue {
    let isName = if case .tcp(let host, _) = workload.authorization { Self.isName(host) } else { false }
    return [
      "name": "authorization", "type": isName ? "STRICT_DNS" : "STATIC", "connect_timeout": "1s",
      "load_assignment": Self.assignment("authorization", workload.authorization),
      "typed_extension_protocol_options": [
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": [
          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
          "explicit_http_config": ["http2_protocol_options": [:]],
        ]
      ],
      "circuit_breakers": ["thresholds": [["max_requests": 4096, "max_pending_requests": 4096]]],
    ]
  }

  /// Servers of Python keep a connection for 5 s, and few for less than 2; a new one without TLS costs little.
  private static let idleTimeNearby = "1s"

  /// Other sidecars keep a connection for 300 s, and LLM providers for a minute and longer. An LLM that is spoken to
  /// without TLS is a server of one's own, with the habits of an app.
  private static func idleTime(_ egress: Workload.Egress) -> String {
    if case .llm = egress.destination, egress.url.scheme == .http { idleTimeNearby } else { "30s" }
  }

  /// - Parameter idleTime: how long a connection without a request is kept: less than the server keeps it, or a request
  ///   goes out just as the server closes the connection, and fails. It can't be sent again, since nobody knows whether
  ///   it was read.
  private func cluster(_ name: String, _ endpoint: HTTPEndpoint, idleTime: String) -> JSONValue {
    var members: [String: JSONValue] = [
      "name": .string(name), "type": Self.isName(endpoint.host) ? "LOGICAL_DNS" : "STATIC", "connect_timeout": "2s",
      "load_assignment": Self.assignment(name, .tcp(host: endpoint.host, port: endpoint.port)),
      "typed_extension_protocol_options": [
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": [
          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
          "common_http_protocol_options": ["idle_timeout": .string(idleTime)],
          "explicit_http_config": ["http_protocol_options": [:]],
        ]
      ],
    ]
    // A name's addresses are tried in both families, and one that can't be reached is given up for the next.
    if Self.isName(endpoint.host) { members["dns_lookup_family"] = "ALL" }
    if endpoint.scheme == .https { members["transport_socket"] = Self.verifiedTLS(to: endpoint.host) }
    return .object(members)
  }

  /// TLS with a host that proves by its certificate that it is `host`, a name or an IP address.
  private static func verifiedTLS(to host: String) -> JSONValue {
    let isName = isName(host)
    var context: [String: JSONValue] = [
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      "common_tls_context": [
        // Envoy's clients stop at 1.2 unless they are told.
        "tls_params": ["tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"],
        "validation_context": [
          "trusted_ca": ["filename": "/etc/ssl/certs/ca-certificates.crt"],
          "match_typed_subject_alt_names": [
            ["san_type": isName ? "DNS" : "IP_ADDRESS", "matcher": ["exact": .string(host)]]
          ],
        ],
      ],
    ]
    // An address is no server name (RFC 6066 section 3).
    if isName { context["sni"] = .string(host) }
    return ["name": "envoy.transport_sockets.tls", "typed_config": .object(context)]
  }

  private static func assignment(_ name: String, _ address: ListenAddress) -> JSONValue {
    [
      "cluster_name": .string(name),
      "endpoints": [["lb_endpoints": [["endpoint": ["address": Self.address(address)]]]]],
    ]
  }

  static func address(_ address: ListenAddress) -> JSONValue {
    switch address {
    case .unix(let path): ["pipe": ["path": .string(path)]]
    case .tcp(let host, let port):
      ["socket_address": ["address": .string(host), "port_value": .number(Double(port))]]
    }
  }

  private static func isName(_ host: String) -> Bool {
    !host.contains(":") && !host.utf8.allSatisfy { $0 == UInt8(ascii: ".") || (0x30...0x39).contains($0) }
  }
}
