import AsyncHTTPClient
import NIOCore

/// The events of one watch. It is opened when the first is asked for, and closed with the task that reads it.
///
/// It ends without an error when the server ends it, when the server stays silent for too long, and after `expired`.
package struct WatchEvents: AsyncSequence, Sendable {
  package typealias Element = WatchEvent
  package typealias Failure = KubernetesError

  let resource: KubernetesResource
  /// - Throws: `KubernetesError`
  let open: @Sendable () async throws(KubernetesError) -> HTTPClientResponse

  package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(resource: resource, open: open) }

  package struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let resource: KubernetesResource
    fileprivate let open: @Sendable () async throws(KubernetesError) -> HTTPClientResponse
    private var body: HTTPClientResponse.Body.AsyncIterator?
    private var lines = WatchLines()
    private var hasEnded = false

    fileprivate init(
      resource: KubernetesResource, open: @escaping @Sendable () async throws(KubernetesError) -> HTTPClientResponse
    ) {
      self.resource = resource
      self.open = open
    }

    /// - Throws: `KubernetesError`; nothing more comes after it.
    package mutating func next() async throws(KubernetesError) -> WatchEvent? {
      guard !hasEnded else { return nil }
      do throws(KubernetesError) {
        let event = try await read()
        if event == nil || event == .expired { end() }
        return event
      } catch {
        end()
        throw error
      }
    }

    private mutating func end() {
      hasEnded = true
      body = nil
    }

    private mutating func read() async throws(KubernetesError) -> WatchEvent? {
      if body == nil {
        do throws(KubernetesError) {
          body = try await open().body.makeAsyncIterator()
        } catch {
          guard error == .gone else { throw error }
          return .expired
        }
      }
      while true {
        if let line = try lines.next() { return try WatchEvent(line: line, of: resource) }
        let part: ByteBuffer?
        do {
          part = try await body?.next()
        } catch let error as HTTPClientError where error == .readTimeout {
          part = nil
        } catch {
          throw KubernetesClient.failure(of: error)
        }
        guard let part else {
          try lines.end()
          return nil
        }
        lines.append(part.readableBytesView)
      }
    }
  }
}
