import AgentProtocols
import CASACore
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Storage
import TokenService
import Traces

/// Answers the runtime's HTTP requests.
struct RuntimeResponder: HTTPResponder {
  typealias Context = BasicRequestContext

  /// Larger bodies are refused with 413. A user's input of 64 KiB, form-encoded, is at most three times that.
  static let maximumBodyBytes = 524_288
  /// The same for reports. A tool's text of 256 KiB is at most six times that as JSON.
  static let maximumReportBytes = 2 << 20

  let server: AuthorizationServer
  let admin: AdminCredential
  let traces: TraceAccess
  let reader: TraceReader
  let pulse: TracePulse
  let projector: TraceProjector
  /// Answers what is for browsers.
  let pages: (any HTTPResponder<BasicRequestContext>)?
  let toolSource: any ToolSource
  let isReady: @Sendable () -> Bool
  let storage: any StorageDriver
  let metrics: RuntimeMetrics
  let logger: Logger

  func respond(to request: Request, context: Context) async throws -> Response {
    // HEAD is GET without the body (RFC 9110 section 9.3.2).
    guard request.method != .head else {
      var head = request.head
      head.method = .get
      return await response(to: Request(head: head, body: request.body), context).createHeadResponse()
    }
    return await response(to: request, context)
  }

  private func response(to request: Request, _ context: Context) async -> Response {
    let start = ContinuousClock.now
    let path = request.head.path ?? "/"
    let target = path.prefix { $0 != "?" }
    if let pages, target == "/" || target == "/explorer" || target.hasPrefix("/explorer/") {
      return await page(of: pages, request, context)
    }
    guard let route = Route(path: target) else {
      return response(Answer(problem: .notFound, "nothing is at this path; /openapi.json lists what there is"))
    }
    let answer: Answer
    if route.methods.contains(request.method) {
      answer = await answered(request, route: route)
    } else {
      var refusal = Answer(
        problem: .methodNotAllowed, "\(route.label) takes \(route.methods.map(\.rawValue).joined(separator: ", "))")
      refusal.headers[.allow] = route.methods.map(\.rawValue).joined(separator: ", ")
      answer = refusal
    }
    metrics.count(route: route.label, status: answer.status.code, duration: ContinuousClock.now - start)
    return response(answer)
  }

  private func page(of pages: any HTTPResponder<Context>, _ request: Request, _ context: Context) async -> Response {
    let start = ContinuousClock.now
    let page: Response
    do {
      page = try await pages.respond(to: request, context: context)
    } catch {
      page = response(Answer(problem: .serviceUnavailable, "the page can't be made now; try again"))
    }
    metrics.count(route: "/explorer", status: page.status.code, duration: ContinuousClock.now - start)
    return page
  }

  private func response(_ answer: Answer) -> Response {
    guard let stream = answer.stream else {
      return Response(status: answer.status, headers: answer.headers, body: ResponseBody(byteBuffer: answer.body))
    }
    return Response(
      status: answer.status, headers: answer.headers,
      body: ResponseBody { writer in
        try await stream(&writer)
        try await writer.finish(nil)
      })
  }

  private func answered(_ request: Request, route: Route) async -> Answer {
    do {
      return try await answer(to: request, route: route)
    } catch let refused as Refused {
      guard route.isOAuth, refused.answer.status.kind == .clientError else { return refused.answer }
      return oauthForm(of: refused.answer)
    } catch let error as OAuthError {
      if let reason = error.reason { metrics.countRefusal(reason.rawValue) }
      return Answer(error)
    } catch let error as RegistryError {
      return Answer(error)
    } catch let error as InvalidField {
      return Answer(problem: .badRequest, error.description, errors: [error])
    } catch let error as StorageError {
      logger.error("storage failed", metadata: ["route": "\(route.label)", "error": "\(error)"])
      return Answer(problem: .serviceUnavailable, "what was asked can't be stored or read now; try again")
    } catch {
      // Nothing more specific: the connection broke, or the request was cut off.
      return Answer(problem: .badRequest, "the request could not be read to its end")
    }
  }

  /// The same refusal in the form that OAuth clients read.
  private func oauthForm(of answer: Answer) -> Answer {
    let detail = (try? JSONValue(parsing: Array(answer.body.readableBytesView)))?["detail"]?.string
    var oauth = Answer(OAuthError(.invalidRequest, detail ?? "the request is not valid"))
    oauth.status = answer.status
    return oauth
  }

  private func answer(to request: Request, route: Route) async throws -> Answer {
    switch route {
    case .health: return Answer(.ok, json: ["status": "ok"])
    case .readiness:
      guard isReady() else { return Answer(problem: .serviceUnavailable, "the runtime is starting or shutting down") }
      guard server.isCurrent, (try? await storage.query(Statement("SELECT 1 AS one"))) != nil else {
        return Answer(problem: .serviceUnavailable, "the database does not answer")
      }
      return Answer(.ok, json: ["status": "ready"])
    case .metrics:
      let text = metrics.text(
        sessions: server.liveSessions, backlog: try? await projector.backlog(),
        unreadable: projector.unreadableEvents, streams: await pulse.streams)
      return Answer(.ok, text: text, contentType: "text/plain; version=0.0.4; charset=utf-8")
    case .openAPI: return Answer(.ok, text: OpenAPIDocument.text, contentType: "application/json")
    case .jwks:
      var answer = Answer(.ok, json: server.keys.jwks, contentType: "application/jwk-set+json")
      answer.headers[.cacheControl] = "public, max-age=60"
      return answer
    case .metadata: return Answer(.ok, json: metadata)
    case .token, .exchange, .introspect, .spend, .revoke, .revocations, .selfApp:
      return try await oauthAnswer(to: request, route: route)
    case .traceEvents where request.method == .post: return try await record(request)
    case .userInput(let id): return try await userInput(id, request)
    case .traceEvents where request.method == .get, .traceSessions, .traceSession, .traceAlerts, .traceStatistics,
      .traceGraph, .traceSearch, .traceLive, .traceExport:
      return try await traceAnswer(to: request, route: route)
    default:
      try requireAdmin(request)
      return try await adminAnswer(to: request, route: route)
    }
  }

  // MARK: Reading requests

  func form(_ request: Request) async throws -> FormBody {
    try requireType("application/x-www-form-urlencoded", of: request)
    let bytes = try await request.boundedBody(maximumBytes: Self.maximumBodyBytes)
    do {
      return try FormBody(parsing: bytes)
    } catch {
      throw Refused(.badRequest, "the body is not a form: \(error)")
    }
  }

  func json(_ request: Request, maximumBytes: Int = maximumBodyBytes) async throws -> JSONValue {
    try requireType("application/json", of: request)
    let bytes = try await request.boundedBody(maximumBytes: maximumBytes)
    var limits = JSONLimits.message
    limits.maximumBytes = maximumBytes
    let json: JSONValue
    do {
      json = try JSONValue(parsing: bytes, limits: limits)
    } catch {
      throw Refused(.badRequest, "the body is not strict JSON: \(error)")
    }
    guard json.object != nil else { throw Refused(.badRequest, "the body must be a JSON object") }
    return json
  }

  private func requireType(_ type: String, of request: Request) throws(Refused) {
    let refusal = Refused(.unsupportedMediaType, "`Content-Type` must be \(type), in UTF-8")
    guard request.headers[.contentEncoding] == nil, let value = request.headers[.contentType],
      ContentType.isUTF8(value, of: type)
    else { throw refusal }
  }

  func requireAdmin(_ request: Request) throws(Refused) {
    let bearer = try request.headers.authorization().flatMap { BearerCredentials(headerValue: $0) }
    guard let bearer, admin.matches(bearer.token) else {
      var refusal = Answer(
        problem: .unauthorized, "this needs `Authorization: Bearer` with the administrator's credential")
      // Without a credential there is no error to name (RFC 6750 section 3.1).
      if bearer != nil { refusal.headers[.wwwAuthenticate] = "Bearer realm=\"casa\", error=\"invalid_token\"" }
      throw Refused(refusal)
    }
  }

  func query(_ request: Request) throws(Refused) -> [String: String] {
    guard let path = request.head.path, let mark = path.firstIndex(of: "?") else { return [:] }
    let text = path[path.index(after: mark)...]
    let form: FormBody
    do {
      form = try FormBody(parsing: Array(text.utf8))
    } catch {
      throw Refused(.badRequest, "the query is not valid: \(error)")
    }
    // A filter without a value must not turn into no filter.
    guard form.names.count == text.split(separator: "&").count else {
      throw Refused(.badRequest, "the query is not valid: a parameter has no value")
    }
    var values: [String: String] = [:]
    for name in form.names { values[name] = form[name] }
    return values
  }
}

extension Answer {
  init(_ error: RegistryError) {
    switch error {
    case .notFound: self.init(problem: .notFound, error.description)
    case .conflict: self.init(problem: .conflict, error.description)
    case .invalid(let field): self.init(problem: .badRequest, error.description, errors: [field])
    case .storage: self.init(problem: .serviceUnavailable, "what was asked can't be stored now; try again")
    }
  }
}
