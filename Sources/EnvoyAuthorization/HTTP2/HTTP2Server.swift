import EventLoopExecution
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import ServiceLifecycle
import Sidecar

/// An HTTP/2 server without TLS (prior knowledge, RFC 9113 section 3.3), all of it on one event loop.
struct HTTP2Server: Sendable {
  let address: ListenAddress
  let eventLoop: any EventLoop
  var limits = HTTP2Limits()
  /// Chooses how a request is answered. Called on the event loop; must not block.
  let route: @Sendable (_ head: HPACKHeaders) -> HTTP2Exchange

  /// Serves until a graceful shutdown: then open streams are finished and no new ones begun.
  /// - Parameter onListening: called as soon as connections are taken.
  func run(onListening: @Sendable () async throws -> Void) async throws {
    let connections = NIOLoopBoundBox.makeBoxSendingValue(HTTP2Connections(), eventLoop: eventLoop)
    let listener = try await bind(connections)
    let sweep = eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { _ in
      connections.value.enforceDeadlines()
    }
    defer { sweep.cancel() }
    try await onListening()
    try await withGracefulShutdownHandler {
      try await withTaskCancellationHandler {
        try await listener.closeFuture.get()
      } onCancel: {
        listener.close(promise: nil)
      }
    } onGracefulShutdown: {
      listener.close(promise: nil)
    }
    try await drain(connections)
  }

  private func drain(_ connections: NIOLoopBoundBox<HTTP2Connections>) async throws {
    let emptied = eventLoop.makePromise(of: Void.self)
    let limit = eventLoop.scheduleTask(in: limits.shutdownTime) { connections.value.closeAll() }
    eventLoop.execute { connections.value.beginShutdown(emptied) }
    try await emptied.futureResult.get()
    limit.cancel()
  }

  private func bind(_ connections: NIOLoopBoundBox<HTTP2Connections>) async throws -> any Channel {
    let executor = EventLoopTaskExecutor(eventLoop)
    let bootstrap = ServerBootstrap(group: eventLoop)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [limits, route] channel in
        channel.eventLoop.makeCompletedFuture {
          guard connections.value.count < limits.connections, !connections.value.isShuttingDown else {
            throw ChannelError.operationUnsupported
          }
          try channel.pipeline.syncOperations.addHandlers(
            NIOHTTP2Handler(
              mode: .server, connectionConfiguration: limits.connectionConfiguration,
              streamConfiguration: limits.streamConfiguration),
            HTTP2Connection(
              eventLoop: channel.eventLoop, executor: executor, limits: limits, registry: connections.value,
              route: route))
        }
      }
    switch address {
    case .unix(let path): return try await bootstrap.bind(unixDomainSocketPath: path).get()
    case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
    }
  }
}
