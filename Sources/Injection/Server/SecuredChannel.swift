import HummingbirdCore
import Logging
import NIOCore
import NIOSSL

/// Has each new connection begin with the TLS of the moment.
struct SecuredChannel<Base: ServerChildChannel>: ServerChildChannel {
  let base: Base
  let certificates: CertificateFiles

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
    channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: certificates.context))
    }.flatMap {
      base.setup(channel: channel, logger: logger)
    }
  }

  func handle(value: Base.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
