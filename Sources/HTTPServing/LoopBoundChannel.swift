import EventLoopExecution
public import HummingbirdCore
public import Logging
public import NIOCore

/// Handles each connection's requests on the connection's own event loop.
public struct LoopBoundChannel<Base: ServerChildChannel>: ServerChildChannel {
  private let base: Base

  public init(base: Base) { self.base = base }

  public func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
    base.setup(channel: channel, logger: logger)
  }

  public func handle(value: Base.Value, logger: Logger) async {
    await withTaskExecutorPreference(EventLoopTaskExecutor(value.channel.eventLoop)) {
      await base.handle(value: value, logger: logger)
    }
  }
}
