import AgentProtocols
package import AsyncHTTPClient
package import CASACore
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Asks an API server, and gives up in bounded time whatever it does.
package struct KubernetesClient: Sendable {
  package struct Settings: Sendable, Hashable {
    /// How often a request is sent at most.
    package var attempts = 5
    package var attemptTimeout = Duration.seconds(10)
    /// With all attempts and the pauses between them.
    package var totalTimeout = Duration.seconds(30)
    package var backoff = Backoff(shortest: .milliseconds(100), longest: .seconds(5))
    package var rate = RequestRate()
    /// How many objects one page of a list has.
    package var pageLimit = 500
    /// How long one page may be; when it is longer, fewer objects are asked for.
    package var maximumPageBytes = 16 << 20
    /// For how long a watch is asked for; each is up to a third shorter, so that not all end together.
    package var watchTimeout = Duration.seconds(300)

    package init() {}
  }

  /// What a test replaces.
  struct Surroundings: Sendable {
    var pause: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0, clock: .continuous) }
    var jitter: @Sendable () -> Double = { Double.random(in: 0...1) }
  }

  /// The name by which the server knows whose fields are whose.
  static let fieldManager = "casa-controller"

  package let access: ClusterAccess
  let settings: Settings
  private let http: HTTPClient
  private let logger: Logger
  private let surroundings: Surroundings
  private let budget: SharedBudget?

  private final class SharedBudget: Sendable {
    let left: Mutex<RequestBudget>
    init(_ rate: RequestRate) { left = Mutex(RequestBudget(rate)) }
  }

  /// - Parameter http: made with `ClusterAccess.httpClientConfiguration`, and shut down by whoever made it.
  package init(
    _ access: ClusterAccess, http: HTTPClient, settings: Settings = Settings(), logger: Logger
  ) {
    self.init(access, http: http, settings: settings, logger: logger, surroundings: Surroundings())
  }

  init(
    _ access: ClusterAccess, http: HTTPClient, settings: Settings, logger: Logger, surroundings: Surroundings
  ) {
    self.access = access
    self.http = http
    self.settings = settings
    self.logger = logger
    self.surroundings = surroundings
    budget = SharedBudget(settings.rate)
  }

  private init(sameAs other: KubernetesClient, settings: Settings) {
    access = other.access
    self.settings = settings
    http = other.http
    logger = other.logger
    surroundings = other.surroundings
    budget = nil
  }

  /// The same client for what can't wait behind other requests: each request is sent once, at once, and answered
  /// within `timeout` or failed.
  func urgent(timeout: Duration) -> KubernetesClient {
    var settings = settings
    settings.attempts = 1
    settings.attemptTimeout = timeout
    settings.totalTimeout = timeout
    return KubernetesClient(sameAs: self, settings: settings)
  }

  // MARK: Reading

  /// - Throws: `KubernetesError`, also for an object that can't be read.
  package func get(
    _ resource: KubernetesResource, _ key: ObjectKey
  ) async throws(KubernetesError) -> KubernetesObject {
    try await object(resource, APIRequest(path: try resource.path(namespace: key.namespace, name: key.name)))
  }

  /// All objects as of one moment, asked for in pages. When the server no longer knows the moment, it begins again.
  /// - Parameter maximumBytes: how much all pages have together before it is refused.
  /// - Throws: `KubernetesError`
  package func list(
    _ resource: KubernetesResource, _ selection: ObjectSelection = .all, maximumBytes: Int = 64 << 20
  ) async throws(KubernetesError) -> KubernetesList {
    var restarts = 0
    while true {
      do throws(KubernetesError) {
        return try await listOnce(resource, selection, maximumBytes: maximumBytes)
      } catch {
        restarts += 1
        guard error == .gone, restarts < settings.attempts else { throw error }
        try await pause(settings.backoff.pause(after: restarts, jitter: surroundings.jitter()))
      }
    }
  }

  private func listOnce(
    _ resource: KubernetesResource, _ selection: ObjectSelection, maximumBytes: Int
  ) async throws(KubernetesError) -> KubernetesList {
    var list = KubernetesList()
    var continuation: String?
    var limit = settings.pageLimit
    var bytesLeft = maximumBytes
    let path = try resource.path(namespace: selection.namespace)
    while true {
      var request = APIRequest(path: path, query: selection.query + [("limit", String(limit))])
      request.maximumAnswerBytes = settings.maximumPageBytes
      if let continuation { request.query.append(("continue", continuation)) }
      let body: [UInt8]
      do throws(KubernetesError) {
        body = try await perform(request)
      } catch {
        guard error == Self.tooLarge, limit > 1 else { throw error }
        limit = max(limit / 4, 1)
        continue
      }
      bytesLeft -= body.count
      guard bytesLeft >= 0 else {
        throw .malformed("the list of \(resource.plural) is longer than \(maximumBytes) bytes")
      }
      let page = try ListPage(parsing: body, of: resource)
      for reading in page.readings {
        switch reading {
        case .object(let object): list.items.append(object)
        case .unreadable(let object): list.unreadable.append(object)
        }
      }
      if list.resourceVersion.isEmpty { list.resourceVersion = page.resourceVersion }
      guard let next = page.continuation else { return list }
      guard next != continuation else { throw .malformed("the server continues a list where it began") }
      continuation = next
    }
  }

  /// What happens after `resourceVersion`, until the server ends it, as it does every few minutes.
  package func watch(
    _ resource: KubernetesResource, _ selection: ObjectSelection = .all, from resourceVersion: String
  ) throws(KubernetesError) -> WatchEvents {
    let seconds = Double(settings.watchTimeout.components.seconds) * (1 - surroundings.jitter() / 3)
    let request = APIRequest(
      path: try resource.path(namespace: selection.namespace),
      query: selection.query + [
        ("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", resourceVersion),
        ("timeoutSeconds", String(max(1, Int(seconds)))),
      ])
    return WatchEvents(resource: resource) { () async throws(KubernetesError) in
      try await self.take()
      let response = try await self.send(request, timeout: self.settings.attemptTimeout)
      guard response.status != .ok else { return response }
      let failure = await self.failure(response)
      if failure == .unauthorized { _ = self.access.token?.wasRefused() }
      throw failure
    }
  }

  // MARK: Writing

  /// Sent again only when it was surely not carried out.
  /// - Parameter namespace: where to; nil for what belongs to the cluster.
  /// - Returns: the object as it is now.
  @discardableResult
  package func create(
    _ resource: KubernetesResource, _ object: JSONValue, in namespace: String?
  ) async throws(KubernetesError) -> KubernetesObject {
    if resource.isNamespaced, namespace == nil { throw .invalid("\(resource.kind) needs a namespace") }
    return try await self.object(
      resource,
      APIRequest(
        method: .POST, path: try resource.path(namespace: namespace), query: [("fieldManager", Self.fieldManager)],
        body: json(object), isIdempotent: false))
  }

  /// Puts `object` in the place of the one of its name, unless that one has another `metadata.resourceVersion`.
  @discardableResult
  package func replace(
    _ resource: KubernetesResource, _ object: JSONValue
  ) async throws(KubernetesError) -> KubernetesObject {
    let key = try KubernetesObject(json: object).key
    return try await self.object(
      resource,
      APIRequest(
        method: .PUT, path: try resource.path(namespace: key.namespace, name: key.name),
        query: [("fieldManager", Self.fieldManager)], body: json(object)))
  }

  /// What becomes of the objects that a deleted one owns.
  package enum Propagation: String, Sendable, Hashable {
    case background = "Background"
    case orphan = "Orphan"
  }

  /// - Parameter uid: deletes only the very object that was looked at; another of its name is a conflict.
  /// - Throws: `KubernetesError.notFound` when it is gone already, also by an earlier attempt whose answer was lost.
  package func delete(
    _ resource: KubernetesResource, _ key: ObjectKey, uid: String? = nil, propagation: Propagation = .background
  ) async throws(KubernetesError) {
    var options: [String: JSONValue] = [
      "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": .string(propagation.rawValue),
    ]
    if let uid { options["preconditions"] = ["uid": .string(uid)] }
    _ = try await perform(
      APIRequest(
        method: .DELETE, path: try resource.path(namespace: key.namespace, name: key.name),
        body: json(.object(options))))
  }

  /// Merges `changes` into the object (RFC 7386).
  @discardableResult
  package func patch(
    _ resource: KubernetesResource, _ key: ObjectKey, _ changes: JSONValue, subresource: String? = nil
  ) async throws(KubernetesError) -> KubernetesObject {
    try await object(
      resource,
      APIRequest(
        method: .PATCH,
        path: try resource.path(namespace: key.namespace, name: key.name, subresource: subresource),
        query: [("fieldManager", Self.fieldManager)],
        body: ("application/merge-patch+json", changes.canonicalBytes)))
  }

  /// Merges `status` into the object's status, and touches nothing else.
  @discardableResult
  package func patchStatus(
    _ resource: KubernetesResource, _ key: ObjectKey, _ status: JSONValue
  ) async throws(KubernetesError) -> KubernetesObject {
    try await patch(resource, key, ["status": status], subresource: "status")
  }

  /// Server-side apply: the object has the fields of `object` afterwards, whoever had set them otherwise, and none that
  /// were applied before and are not among them.
  /// - Parameter object: with `metadata.name`, and `metadata.namespace` where there are namespaces.
  @discardableResult
  package func apply(
    _ resource: KubernetesResource, _ object: JSONValue, subresource: String? = nil
  ) async throws(KubernetesError) -> KubernetesObject {
    let key = try KubernetesObject(json: object).key
    var members = object.object ?? [:]
    members["apiVersion"] = .string(resource.apiVersion)
    members["kind"] = .string(resource.kind)
    return try await self.object(
      resource,
      APIRequest(
        method: .PATCH,
        path: try resource.path(namespace: key.namespace, name: key.name, subresource: subresource),
        query: [("fieldManager", Self.fieldManager), ("force", "true")],
        // JSON is YAML.
        body: ("application/apply-patch+yaml", JSONValue.object(members).canonicalBytes)))
  }

  // MARK: Sending

  private static let tooLarge = KubernetesError.malformed("the answer is longer than allowed")

  private func json(_ value: JSONValue) -> (type: String, bytes: [UInt8]) { ("application/json", value.canonicalBytes) }

  private func object(
    _ resource: KubernetesResource, _ request: APIRequest
  ) async throws(KubernetesError) -> KubernetesObject {
    let outline = JSONOutline(try await perform(request))
    let span: Range<Int>
    do throws(JSONSyntaxError) {
      span = try outline.root()
    } catch {
      throw .malformed("expected an object of kind \(resource.kind): \(error)")
    }
    switch try ObjectReading(outline, span, of: resource) {
    case .object(let object): return object
    case .unreadable(let object): throw .malformed("\(resource.kind) \(object.key): \(object.problem)")
    }
  }

  /// The body of an answer of success.
  func perform(_ request: APIRequest) async throws(KubernetesError) -> [UInt8] {
    let deadline = ContinuousClock.now + settings.totalTimeout
    var attempt = 1
    while true {
      try await take(before: deadline)
      let end = min(.now + settings.attemptTimeout, deadline)
      let reply =
        await result(before: end) { await self.exchange(request) }
        ?? .failed(Task.isCancelled ? .cancelled : .unreachable("no answer in time"), wasSent: true)
      let failure: KubernetesError
      switch reply {
      case .answered(let body): return body
      case .failed(let error, let wasSent):
        failure = error
        // A token may have been written anew since it was read.
        let mayHaveToken = error == .unauthorized && attempt == 1 && access.token?.wasRefused() == true
        guard attempt < settings.attempts, error.mayPass || mayHaveToken,
          request.isIdempotent || !wasSent
        else { throw error }
      }
      var due = settings.backoff.pause(after: attempt, jitter: surroundings.jitter())
      if case .tooManyRequests(let wanted?) = failure { due = max(due, wanted) }
      // What can't be in time is not begun.
      guard ContinuousClock.now + due < deadline else { throw failure }
      logger.debug(
        "asking the API server again",
        metadata: ["method": "\(request.method)", "path": "\(request.path)", "failure": "\(failure)"])
      try await pause(due)
      attempt += 1
    }
  }

  private enum Reply: Sendable {
    case answered([UInt8])
    /// - wasSent: whether the server may have carried the request out.
    case failed(KubernetesError, wasSent: Bool)
  }

  private func exchange(_ request: APIRequest) async -> Reply {
    let response: HTTPClientResponse
    do throws(KubernetesError) {
      response = try await send(request, timeout: settings.attemptTimeout)
    } catch {
      if case .unreachable(Self.noConnection) = error { return .failed(error, wasSent: false) }
      return .failed(error, wasSent: true)
    }
    guard (200..<300).contains(response.status.code) else {
      let failure = await failure(response)
      if case .tooManyRequests = failure { return .failed(failure, wasSent: false) }
      return .failed(failure, wasSent: failure != .unauthorized)
    }
    do {
      let body = try await response.body.collect(upTo: request.maximumAnswerBytes)
      return .answered(Array(body.readableBytesView))
    } catch is NIOTooManyBytesError {
      return .failed(Self.tooLarge, wasSent: true)
    } catch {
      return .failed(Self.failure(of: error), wasSent: true)
    }
  }

  /// What an answer other than of success says.
  private func failure(_ response: HTTPClientResponse) async -> KubernetesError {
    let retryAfter = response.headers.first(name: "retry-after").flatMap { UInt16($0) }.map { Duration.seconds($0) }
    let body = await result(before: .now + settings.attemptTimeout) {
      try? await response.body.collect(upTo: 1 << 18)
    }
    let status = body.flatMap { $0 }.flatMap { try? JSONValue(parsing: Array($0.readableBytesView)) }
    return KubernetesError(code: Int(response.status.code), status: status, retryAfter: retryAfter)
  }

  /// - Parameter timeout: until the answer's head is there.
  private func send(
    _ request: APIRequest, timeout: Duration
  ) async throws(KubernetesError) -> HTTPClientResponse {
    var message = HTTPClientRequest(url: access.server + request.target)
    message.method = request.method
    message.headers = ["accept": "application/json", "user-agent": Self.fieldManager]
    if let token = access.token {
      do {
        message.headers.add(name: "authorization", value: "Bearer \(try token.current())")
      } catch {
        throw .unreachable("there is no token: \(error)")
      }
    }
    if let body = request.body {
      message.headers.add(name: "content-type", value: body.type)
      message.body = .bytes(ByteBuffer(bytes: body.bytes))
    }
    do {
      return try await http.execute(message, timeout: .milliseconds(timeout.wholeMilliseconds))
    } catch {
      throw Self.failure(of: error)
    }
  }

  private static let noConnection = "it takes no connection"

  static func failure(of error: any Error) -> KubernetesError {
    switch error {
    case is CancellationError: .cancelled
    case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
      .unreachable("TLS failed; is it the authority that signed the server's certificate?")
    case let error as HTTPClientError:
      switch error {
      case .cancelled: .cancelled
      case .connectTimeout, .getConnectionFromPoolTimeout: .unreachable(noConnection)
      case .deadlineExceeded, .readTimeout, .writeTimeout: .unreachable("no answer in time")
      case .tlsHandshakeTimeout: .unreachable("no TLS in time")
      default: .unreachable("the connection was closed")
      }
    case is NIOConnectionError: .unreachable(noConnection)
    case let error as IOError where error.errnoCode == ECONNREFUSED: .unreachable(noConnection)
    default: .unreachable("the connection was closed")
    }
  }

  private func take(before deadline: ContinuousClock.Instant = .now + .seconds(60)) async throws(KubernetesError) {
    guard let budget else { return }
    guard let due = budget.left.withLock({ $0.take(at: .now, before: deadline) }) else {
      throw .unreachable("this client has more to ask than its limit of \(settings.rate.perSecond) requests a second")
    }
    if due > .zero { try await pause(due) }
  }

  private func pause(_ duration: Duration) async throws(KubernetesError) {
    do {
      try await surroundings.pause(duration)
    } catch {
      throw .cancelled
    }
  }
}
