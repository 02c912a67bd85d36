package import Logging
import Synchronization

/// Keeps the objects of one kind as the API server has them, and tells which changed.
///
/// It lists, then watches from where the list was, goes on from the last event or bookmark when a watch ends, and
/// lists again when the server no longer knows that moment.
package final class ResourceCache: Sendable {
  package let resource: KubernetesResource
  private let client: KubernetesClient
  private let selection: ObjectSelection
  private let maximumBytes: Int
  private let backoff: Backoff
  private let logger: Logger
  private let changed: @Sendable (ObjectKey) -> Void
  private let state = Mutex(State())

  private struct State {
    var objects = CachedObjects()
    var isSynced = false
    var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    var waiters = 0
  }

  /// - Parameters:
  ///   - maximumBytes: how long a list may be in all.
  ///   - changed: called for each object that was added, changed or deleted, and for all after the first list; the
  ///     cache has the new state by then. It must not take long.
  package init(
    _ resource: KubernetesResource, of client: KubernetesClient, _ selection: ObjectSelection = .all,
    maximumBytes: Int = 1 << 30, backoff: Backoff = Backoff(shortest: .milliseconds(200), longest: .seconds(30)),
    logger: Logger, changed: @escaping @Sendable (ObjectKey) -> Void
  ) {
    self.resource = resource
    self.client = client
    self.selection = selection
    self.maximumBytes = maximumBytes
    self.backoff = backoff
    var logger = logger
    logger[metadataKey: "resource"] = "\(resource.plural)"
    self.logger = logger
    self.changed = changed
  }

  package subscript(key: ObjectKey) -> KubernetesObject? { state.withLock { $0.objects[key] } }

  package var count: Int { state.withLock { $0.objects.count } }

  /// In no order.
  /// - Parameter namespace: nil for all.
  package func objects(in namespace: String? = nil) -> [KubernetesObject] {
    state.withLock { $0.objects.all(in: namespace) }
  }

  /// Whether a whole list was taken in. It stays so while the server is away: then the cache is what was known last.
  package var isSynced: Bool { state.withLock { $0.isSynced } }

  /// Returns when `isSynced`, or when the task is cancelled.
  package func synced() async {
    let number = state.withLock { state in
      state.waiters += 1
      return state.waiters
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDone = state.withLock { state in
          if state.isSynced || Task.isCancelled { return true }
          state.waiting[number] = continuation
          return false
        }
        if isDone { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
    }
  }

  /// Until the task is cancelled.
  package func run() async {
    var place = Place()
    var failures = 0
    while !Task.isCancelled {
      let begin = ContinuousClock.now
      let before = place
      var wanted = Duration.zero
      do throws(KubernetesError) {
        try await advance(&place)
        // A server that ends each watch at once, with nothing in it, is not asked without a pause.
        if place == before, ContinuousClock.now - begin < .seconds(1) { failures += 1 } else { failures = 0 }
      } catch {
        guard error != .cancelled else { break }
        if case .tooManyRequests(let pause?) = error { wanted = min(pause, .seconds(60)) }
        // A line that can't be read would come again from where it was.
        if case .malformed = error { place.version = nil }
        // What a broken watch brought counts as well.
        failures = place == before || place.version == nil ? failures + 1 : 1
        logger.log(
          level: failures < 3 ? .info : .warning, "the objects are not followed for a moment: \(error)",
          metadata: ["failures": "\(failures)"])
      }
      if failures > 0 {
        try? await Task.sleep(for: max(backoff.pause(after: failures), wanted), clock: .continuous)
      }
    }
  }

  /// Up to where the server was followed.
  private struct Place: Equatable {
    /// nil when a list is needed.
    var version: String?
    var events = 0
  }

  /// Lists, or follows one watch to its end.
  private func advance(_ place: inout Place) async throws(KubernetesError) {
    guard let version = place.version else {
      place.version = try await list()
      return
    }
    var events = try client.watch(resource, selection, from: version).makeAsyncIterator()
    while let event = try await events.next() {
      if event == .expired {
        logger.debug("the server no longer knows where the watch would go on")
        place.version = nil
        return
      }
      if case .unreadable(let object) = event { tell(object) }
      if let version = event.resourceVersion { place.version = version }
      place.events += 1
      if let key = state.withLock({ $0.objects.take(event) }) { changed(key) }
    }
  }

  /// - Returns: from where a watch goes on.
  private func list() async throws(KubernetesError) -> String {
    let list = try await client.list(resource, selection, maximumBytes: maximumBytes)
    for object in list.unreadable { tell(object) }
    let (keys, waiting) = state.withLock { state in
      let keys = state.objects.replace(with: list.items, unreadable: list.unreadable.map(\.key))
      state.isSynced = true
      defer { state.waiting = [:] }
      return (keys, Array(state.waiting.values))
    }
    for key in keys { changed(key) }
    for waiter in waiting { waiter.resume() }
    return list.resourceVersion
  }

  private func tell(_ object: UnreadableObject) {
    logger.warning(
      "an object can't be read and is left out", metadata: ["object": "\(object.key)", "problem": "\(object.problem)"])
  }
}
