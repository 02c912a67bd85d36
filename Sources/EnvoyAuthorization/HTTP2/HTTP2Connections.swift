import NIOCore

/// A server's open connections. Used on the server's event loop only.
final class HTTP2Connections {
  private var open: [ObjectIdentifier: HTTP2Connection] = [:]
  private(set) var isShuttingDown = false
  private var whenEmpty: EventLoopPromise<Void>?

  var count: Int { open.count }

  func add(_ connection: HTTP2Connection) { open[ObjectIdentifier(connection)] = connection }

  func remove(_ connection: HTTP2Connection) {
    open[ObjectIdentifier(connection)] = nil
    if open.isEmpty { whenEmpty?.succeed() }
  }

  func enforceDeadlines() {
    let now = NIODeadline.now()
    for connection in Array(open.values) { connection.enforceDeadlines(now) }
  }

  /// Takes no new requests; `emptied` is kept when the last connection has ended.
  func beginShutdown(_ emptied: EventLoopPromise<Void>) {
    isShuttingDown = true
    whenEmpty = emptied
    if open.isEmpty { emptied.succeed() }
    for connection in Array(open.values) { connection.beginShutdown() }
  }

  func closeAll() {
    for connection in Array(open.values) { connection.close() }
  }
}
