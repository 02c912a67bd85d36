import CASACore
import HTTPTypes

/// Every path the runtime answers, with the methods it takes there.
enum Route: Hashable, Sendable {
  case token, exchange, introspect, spend, revoke, revocations, jwks, metadata
  case systems
  case system(MASID)
  case apps, selfApp
  case app(AppID)
  case appSecret(AppID)
  case tools(AppID)
  case discoverTools(AppID)
  case approveTools(AppID)
  case nodes
  case node(NodeID)
  case nodeSecret(NodeID)
  case rotateKey
  case userInput(UserInputID)
  case readers
  case reader(ReaderID)
  case traceEvents, traceSessions, traceAlerts, traceStatistics, traceGraph, traceSearch, traceLive, traceExport
  case traceSession(UserInputID)
  case health, readiness, metrics, openAPI

  /// nil for a path there is nothing at.
  init?(path: Substring) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    guard parts.count <= 4, path.first == "/" else { return nil }
    let segments = Array(parts)
    switch segments.first {
    case "oauth":
      switch segments.dropFirst() {
      case ["token"]: self = .token
      case ["token", "exchange"]: self = .exchange
      case ["introspect"]: self = .introspect
      case ["spend"]: self = .spend
      case ["revoke"]: self = .revoke
      case ["revocations"]: self = .revocations
      case ["jwks"]: self = .jwks
      default: return nil
      }
    case ".well-known":
      guard segments.dropFirst() == ["oauth-authorization-server"] else { return nil }
      self = .metadata
    case "mas":
      if segments.count == 1 {
        self = .systems
        return
      }
      guard segments.count == 2, let id = MASID(validating: String(segments[1])) else { return nil }
      self = .system(id)
    case "apps":
      if segments.count == 1 {
        self = .apps
        return
      }
      if segments.dropFirst() == ["self"] {
        self = .selfApp
        return
      }
      guard let id = AppID(validating: String(segments[1])) else { return nil }
      switch segments.dropFirst(2) {
      case []: self = .app(id)
      case ["secret"]: self = .appSecret(id)
      case ["tools"]: self = .tools(id)
      case ["tools", "discover"]: self = .discoverTools(id)
      case ["tools", "approve"]: self = .approveTools(id)
      default: return nil
      }
    case "nodes":
      if segments.count == 1 {
        self = .nodes
        return
      }
      guard let id = NodeID(validating: String(segments[1])) else { return nil }
      switch segments.dropFirst(2) {
      case []: self = .node(id)
      case ["secret"]: self = .nodeSecret(id)
      default: return nil
      }
    case "keys":
      guard segments.dropFirst() == ["rotate"] else { return nil }
      self = .rotateKey
    case "user-inputs":
      guard segments.count == 2, let id = UserInputID(validating: String(segments[1])) else { return nil }
      self = .userInput(id)
    case "readers":
      if segments.count == 1 {
        self = .readers
        return
      }
      guard segments.count == 2, let id = ReaderID(validating: String(segments[1])) else { return nil }
      self = .reader(id)
    case "trace":
      switch segments.dropFirst() {
      case ["events"]: self = .traceEvents
      case ["sessions"]: self = .traceSessions
      case ["alerts"]: self = .traceAlerts
      case ["statistics"]: self = .traceStatistics
      case ["graph"]: self = .traceGraph
      case ["search"]: self = .traceSearch
      case ["live"]: self = .traceLive
      case ["export"]: self = .traceExport
      default:
        guard segments.count == 3, segments[1] == "sessions", let id = UserInputID(validating: String(segments[2]))
        else { return nil }
        self = .traceSession(id)
      }
    case "healthz" where segments.count == 1: self = .health
    case "readyz" where segments.count == 1: self = .readiness
    case "metrics" where segments.count == 1: self = .metrics
    case "openapi.json" where segments.count == 1: self = .openAPI
    default: return nil
    }
  }

  var methods: [HTTPRequest.Method] {
    switch self {
    case .token, .exchange, .introspect, .spend, .revoke, .appSecret, .discoverTools, .approveTools, .nodeSecret,
      .rotateKey:
      [.post]
    case .revocations, .jwks, .metadata, .selfApp, .tools, .userInput, .health, .readiness, .metrics, .openAPI,
      .traceSessions, .traceSession, .traceAlerts, .traceStatistics, .traceGraph, .traceSearch, .traceLive,
      .traceExport:
      [.get]
    case .systems, .apps, .nodes, .readers: [.get, .post]
    case .traceEvents: [.get, .post, .delete]
    case .system, .app: [.get, .put, .delete]
    case .node, .reader: [.get, .delete]
    }
  }

  /// The path with its parameters' names, for metrics.
  var label: String {
    switch self {
    case .token: "/oauth/token"
    case .exchange: "/oauth/token/exchange"
    case .introspect: "/oauth/introspect"
    case .spend: "/oauth/spend"
    case .revoke: "/oauth/revoke"
    case .revocations: "/oauth/revocations"
    case .jwks: "/oauth/jwks"
    case .metadata: "/.well-known/oauth-authorization-server"
    case .systems: "/mas"
    case .system: "/mas/{id}"
    case .apps: "/apps"
    case .selfApp: "/apps/self"
    case .app: "/apps/{id}"
    case .appSecret: "/apps/{id}/secret"
    case .tools: "/apps/{id}/tools"
    case .discoverTools: "/apps/{id}/tools/discover"
    case .approveTools: "/apps/{id}/tools/approve"
    case .nodes: "/nodes"
    case .node: "/nodes/{id}"
    case .nodeSecret: "/nodes/{id}/secret"
    case .rotateKey: "/keys/rotate"
    case .userInput: "/user-inputs/{id}"
    case .readers: "/readers"
    case .reader: "/readers/{id}"
    case .traceEvents: "/trace/events"
    case .traceSessions: "/trace/sessions"
    case .traceSession: "/trace/sessions/{id}"
    case .traceAlerts: "/trace/alerts"
    case .traceStatistics: "/trace/statistics"
    case .traceGraph: "/trace/graph"
    case .traceSearch: "/trace/search"
    case .traceLive: "/trace/live"
    case .traceExport: "/trace/export"
    case .health: "/healthz"
    case .readiness: "/readyz"
    case .metrics: "/metrics"
    case .openAPI: "/openapi.json"
    }
  }

  /// Whether errors here have OAuth's form.
  var isOAuth: Bool {
    switch self {
    case .token, .exchange, .introspect, .spend, .revoke, .revocations, .selfApp: true
    default: false
    }
  }
}
