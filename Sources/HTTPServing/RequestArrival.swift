public import NIOCore
import NIOHTTP1

/// How long a request may take to arrive.
public struct ArrivalDeadlines: Sendable, Hashable {
  /// From a connection's first moment, or a later request's first byte, to the end of the request's headers.
  public let headers: TimeAmount
  /// From there to the end of its body.
  public let body: TimeAmount
  /// How long a client may go on sending after an answer that came early, before it is cut off.
  let lingering = TimeAmount.seconds(1)

  public init(headers: TimeAmount, body: TimeAmount) {
    self.headers = headers
    self.body = body
  }
}

/// The request did not arrive in time.
public struct ArrivedTooLate: Error {}

/// Cuts off connections whose requests arrive too slowly or not to their end, so that a client holds no
/// connection by dripping. One per connection; all of it runs on the connection's event loop.
///
/// An answer that comes before the request's end (it is too large, of the wrong type, too slow) ends the
/// connection: reading on only to reach the next request would let the client decide for how long.
public final class RequestArrival: ChannelInboundHandler, RemovableChannelHandler {
  public typealias InboundIn = NIOAny

  private let deadlines: ArrivalDeadlines

  public init(deadlines: ArrivalDeadlines) { self.deadlines = deadlines }

  /// Puts the two handlers that see bytes and parsed parts in their places.
  public func handlerAdded(context: ChannelHandlerContext) {
    let pipeline = context.pipeline.syncOperations
    do {
      let parts = RequestPartsHandler(deadlines: deadlines)
      let parser = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
      try pipeline.addHandler(parts, position: .after(parser))
      try pipeline.addHandler(FirstByteHandler(parts: parts), position: .first)
    } catch {
      // Without its deadlines a connection is not served.
      context.close(promise: nil)
    }
  }
}

/// Tells when bytes come in that may begin a request.
private final class FirstByteHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let parts: RequestPartsHandler

  init(parts: RequestPartsHandler) { self.parts = parts }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    parts.bytesArrived()
    context.fireChannelRead(data)
  }
}

private final class RequestPartsHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  private enum Phase {
    /// Between requests.
    case idle
    /// Something came that is not yet a whole head.
    case headers
    case body
    /// An answer was begun before the request's end.
    case answeredEarly
    /// That answer is written; what still comes is dropped.
    case lingering
  }

  private let deadlines: ArrivalDeadlines
  private var phase = Phase.idle
  /// How many requests began whose answers are not written; more than one when the client pipelines.
  private var unanswered = 0
  private var context: ChannelHandlerContext?
  private var deadline: Scheduled<Void>?

  init(deadlines: ArrivalDeadlines) { self.deadlines = deadlines }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    bytesArrived()
    schedule(in: deadlines.headers)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    cancelDeadline()
    self.context = nil
  }

  func bytesArrived() {
    if phase == .idle { phase = .headers }
  }

  /// Deadlines begin here: a request that came whole, as most do, needs none.
  func channelReadComplete(context: ChannelHandlerContext) {
    if deadline == nil {
      if phase == .headers { schedule(in: deadlines.headers) }
      if phase == .body { schedule(in: deadlines.body) }
    }
    context.fireChannelReadComplete()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head:
      guard phase != .lingering else { return }
      unanswered += 1
      phase = .body
      cancelDeadline()
    case .body:
      guard phase != .lingering else { return }
    case .end:
      guard phase != .lingering else { return close() }
      if phase == .body {
        phase = .idle
        cancelDeadline()
      }
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(var head) where (phase == .body || phase == .answeredEarly) && unanswered == 1:
      phase = .answeredEarly
      head.headers.replaceOrAdd(name: "connection", value: "close")
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .end where phase == .answeredEarly && unanswered == 1:
      unanswered = 0
      context.writeAndFlush(data, promise: promise)
      // Only the sending side is closed at once: a reset could take the answer away from the client.
      context.close(mode: .output, promise: nil)
      phase = .lingering
      schedule(in: deadlines.lingering)
    case .end:
      unanswered = max(0, unanswered - 1)
      context.write(data, promise: promise)
    default: context.write(data, promise: promise)
    }
  }

  private func cancelDeadline() {
    deadline?.cancel()
    deadline = nil
  }

  private func schedule(in amount: TimeAmount) {
    cancelDeadline()
    deadline = context?.eventLoop.assumeIsolated().scheduleTask(in: amount) { self.deadlineReached() }
  }

  private func deadlineReached() {
    deadline = nil
    switch phase {
    case .idle: return
    case .headers, .lingering: close()
    case .body:
      // Whoever waits for the body answers 408; if nobody does, the connection still ends.
      schedule(in: deadlines.lingering)
      phase = .answeredEarly
      context?.fireErrorCaught(ArrivedTooLate())
    case .answeredEarly: close()
    }
  }

  private func close() { context?.close(promise: nil) }
}
