import AgentProtocols
import CASACore
import Enforcement

/// The two listeners behind packet rules (`casa sidecar intercept`): one takes every connection to the pod, one every
/// connection from it. Who a connection was meant for says only what is decided; where Envoy connects to is always
/// what the workload's file says. An app that sends another's `Host` to an address of its choice therefore reaches the
/// destination of that name, as a call that is decided about like any other, and never that address.
///
/// What does not begin as HTTP does, TLS among it, is closed as soon as that is seen, and what says nothing at all
/// after 10 s.
extension EnvoyBootstrap {
  func interceptors(_ interception: InterceptionListeners) -> [JSONValue] {
    [
      interceptor("inbound", addresses: interception.inbound, chains: inboundChains),
      interceptor("outbound", addresses: interception.outbound, chains: [outboundChain]),
    ]
  }

  private func interceptor(_ name: String, addresses: [ListenAddress], chains: [JSONValue]) -> JSONValue {
    var members: [String: JSONValue] = [
      "name": .string(name),
      "per_connection_buffer_limit_bytes": .number(Double(Self.maximumBodyBytes)),
      "listener_filters": [
        Self.listenerFilter("original_dst", "original_dst.v3.OriginalDst"),
        Self.listenerFilter("http_inspector", "http_inspector.v3.HttpInspector"),
      ],
      "listener_filters_timeout": "10s", "continue_on_listener_filters_timeout": false,
      "filter_chains": .array(chains),
    ]
    if let first = addresses.first { members["address"] = Self.address(first) }
    let others = addresses.dropFirst().map { ["address": Self.address($0)] as JSONValue }
    if !others.isEmpty { members["additional_addresses"] = .array(others) }
    return .object(members)
  }

  private static func listenerFilter(_ name: String, _ type: String) -> JSONValue {
    [
      "name": .string("envoy.filters.listener." + name),
      "typed_config": ["@type": .string("type.googleapis.com/envoy.extensions.filters.listener." + type)],
    ]
  }

  /// One protocol: what the inspector did not take for HTTP finds no chain and is closed.
  private static func chain(_ name: String, port: Int? = nil, _ connectionManager: JSONValue) -> JSONValue {
    var match: [String: JSONValue] = ["application_protocols": ["http/1.0", "http/1.1", "h2c"]]
    if let port { match["destination_port"] = .number(Double(port)) }
    return [
      "name": .string(name), "filter_chain_match": .object(match),
      "filters": [
        ["name": "envoy.filters.network.http_connection_manager", "typed_config": connectionManager]
      ],
    ]
  }

  // MARK: Inbound

  /// The app's port, and all others.
  private var inboundChains: [JSONValue] {
    var chains: [JSONValue] = []
    if let ingress = workload.ingress {
      let manager = connectionManager(
        "ingress", .ingress, filters: authorizationFilters(.ingress),
        virtualHosts: [
          [
            "name": "ingress", "domains": ["*"],
            "routes": .array(routes(to: ingress.app).map(JSONValue.object)),
          ]
        ])
      chains.append(Self.chain("ingress", port: ingress.app.port, manager))
    }
    let refusing = connectionManager(
      "inbound-refused", .ingress, filters: [],
      virtualHosts: [Self.refusing("this workload takes calls at its app's port only")])
    chains.append(Self.chain("refused", refusing))
    return chains
  }

  // MARK: Outbound

  private var outboundChain: JSONValue {
    var hosts = workload.egress.enumerated().map { index, egress in
      let way = Listener.egress(index)
      let routes = routes(by: way, to: egress, settings: outboundSettings(way))
      return [
        "name": .string(way.name), "domains": .array(egress.authorities.map(JSONValue.string)),
        "routes": .array(routes.map(JSONValue.object)),
      ] as JSONValue
    }
    // What refuses by itself asks nobody. Filters that are off unless a route switches them on stay off.
    let asking = outboundFilters.filter { $0["disabled"] == nil }
    let settings = asking.reduce(into: [:]) { $0.merge(Self.disabled($1)) { $1 } }
    hosts.append(Self.refusing("this workload may not call this destination", without: settings))
    return Self.chain(
      "outbound",
      connectionManager(
        "outbound", .egress, listener: "%ROUTE_NAME%", filters: outboundFilters + [answerFilter],
        virtualHosts: hosts))
  }

  /// Settings of a route that no request of it reaches `filter` with.
  private static func disabled(_ filter: JSONValue) -> [String: JSONValue] {
    guard let name = filter["name"]?.string else { return [:] }
    return [name: ["@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true]]
  }

  /// Answers 403 to whatever no other virtual host takes, and asks nobody.
  private static func refusing(_ explanation: String, without settings: [String: JSONValue] = [:]) -> JSONValue {
    let refusal = Refusal(.destinationNotAllowed, explanation)
    let matches: [JSONValue] = [["prefix": "/"], ["connect_matcher": [:]]]
    return [
      "name": "refused", "domains": ["*"],
      "routes": .array(matches.map { .object(refusing(refusal, on: "refused", match: $0, settings)) }),
    ]
  }
}
