import EventLoopExecution
import NIOCore
import NIOHPACK
import NIOHTTP2

/// One connection: tells its streams apart by their number, collects what they ask, and writes what they are answered.
///
/// A channel for each stream, NIOHTTP2's other way, costs several times what a question's answer does.
/// Everything here happens on the connection's event loop.
final class HTTP2Connection: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame
  typealias OutboundOut = HTTP2Frame

  private final class Stream {
    enum Work {
      case whole(WholeExchange, body: [UInt8])
      /// The exchange is away (nil) while it works on a message.
      case messages((any GRPCMessageExchange)?, GRPCDeframer)
      /// The answer is written; what still comes is dropped.
      case answered
    }

    let id: HTTP2StreamID
    var work: Work
    /// A stream that is still there then is ended.
    var deadline: NIODeadline
    /// When the client wants an answer.
    let clientDeadline: NIODeadline?
    var task: Task<Void, Never>?
    var isAtEnd = false
    var headIsWritten = false
    /// What the client may still send.
    var window: Int
    /// Bytes it holds of the connection's.
    var bufferedBytes = 0

    init(_ id: HTTP2StreamID, _ work: Work, deadline: NIODeadline, clientDeadline: NIODeadline?, window: Int) {
      self.id = id
      self.work = work
      self.deadline = deadline
      self.clientDeadline = clientDeadline
      self.window = window
    }
  }

  private enum Phase {
    case open
    case draining(final: Bool)
    case closed
  }

  private let eventLoop: any EventLoop
  private let executor: EventLoopTaskExecutor
  private let limits: HTTP2Limits
  private let route: @Sendable (HPACKHeaders) -> HTTP2Exchange
  private let registry: HTTP2Connections
  private var context: ChannelHandlerContext?
  private var streams: [HTTP2StreamID: Stream] = [:]
  private var lastStreamID = HTTP2StreamID.rootStream
  private var bufferedBytes = 0
  private var phase = Phase.open
  private var flushIsDue = false
  private var idleUntil: NIODeadline

  init(
    eventLoop: any EventLoop, executor: EventLoopTaskExecutor, limits: HTTP2Limits, registry: HTTP2Connections,
    route: @escaping @Sendable (HPACKHeaders) -> HTTP2Exchange
  ) {
    self.eventLoop = eventLoop
    self.executor = executor
    self.limits = limits
    self.registry = registry
    self.route = route
    idleUntil = .now() + limits.firstRequestTime
  }

  // MARK: The connection's life

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    registry.add(self)
    if context.channel.isActive { openConnectionWindow() }
  }

  func channelActive(context: ChannelHandlerContext) {
    openConnectionWindow()
    context.fireChannelActive()
  }

  /// The connection's window begins with 65,535 bytes and can only be widened.
  private func openConnectionWindow() {
    write(.windowUpdate(windowSizeIncrement: limits.connectionWindow - 65_535), to: .rootStream)
    context?.flush()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    phase = .closed
    self.context = nil
    for stream in streams.values { stream.task?.cancel() }
    streams = [:]
    registry.remove(self)
  }

  func channelInactive(context: ChannelHandlerContext) {
    for stream in streams.values { stream.task?.cancel() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    // Its stream was reset.
    case is NIOHTTP2Errors.StreamError: break
    // A stream that began before the client knew of the shutdown.
    case is NIOHTTP2Errors.NoSuchStream where isDraining: break
    // NIOHTTP2Handler has sent GOAWAY.
    default: context.close(promise: nil)
    }
  }

  private var isDraining: Bool { if case .draining = phase { true } else { false } }

  /// Lets streams finish and takes no new ones.
  func beginShutdown() {
    guard case .open = phase else { return }
    phase = .draining(final: false)
    // What the client sent before it reads this is still answered; it has read it when it answers the ping.
    write(.goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil), to: .rootStream)
    write(.ping(HTTP2PingData(withInteger: 0), ack: false), to: .rootStream)
    context?.flush()
  }

  private func finishShutdown() {
    guard case .draining(final: false) = phase else { return }
    phase = .draining(final: true)
    write(.goAway(lastStreamID: lastStreamID, errorCode: .noError, opaqueData: nil), to: .rootStream)
    context?.flush()
    closeIfDrained()
  }

  private func closeIfDrained() {
    if case .draining(final: true) = phase, streams.isEmpty { close() }
  }

  func close() { context?.close(promise: nil) }

  /// Ends what has taken too long.
  func enforceDeadlines(_ now: NIODeadline) {
    if streams.isEmpty {
      if idleUntil < now { beginShutdown() }
      // A client that does not even answer the ping.
      if idleUntil + limits.shutdownTime < now { close() }
      return
    }
    for stream in Array(streams.values) where stream.deadline < now {
      switch stream.work {
      case .answered: reset(stream, .cancel)
      case .whole(let exchange, _): finish(stream, exchange.tooLate)
      case .messages: end(stream, GRPCStatus(.deadlineExceeded, "the stream took too long"))
      }
    }
  }

  // MARK: Reading

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    switch frame.payload {
    case .headers(let payload):
      if let stream = streams[frame.streamID] {
        if payload.endStream { receiveEnd(on: stream) }
      } else {
        open(frame.streamID, payload.headers, isAtEnd: payload.endStream)
      }
    case .data(let payload):
      guard let stream = streams[frame.streamID], case .byteBuffer(let bytes) = payload.data else { return }
      receive(bytes, on: stream)
      if payload.endStream { receiveEnd(on: stream) }
    case .ping(_, ack: true): finishShutdown()
    // NIOHTTP2Handler has acted on the others.
    default: break
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case let event as NIOHTTP2WindowUpdatedEvent:
      guard let size = event.inboundWindowSize else { return }
      if event.streamID == .rootStream {
        guard size < limits.connectionWindow / 2, isOpenToWrite else { return }
        write(.windowUpdate(windowSizeIncrement: limits.connectionWindow - size), to: .rootStream)
        flushSoon()
      } else if let stream = streams[event.streamID] {
        stream.window = size
        widenWindow(of: stream)
      }
    case let event as StreamClosedEvent: remove(event.streamID)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  private func open(_ id: HTTP2StreamID, _ head: HPACKHeaders, isAtEnd: Bool) {
    lastStreamID = max(lastStreamID, id)
    let now = NIODeadline.now()
    let clientDeadline = head.first(name: "grpc-timeout").flatMap { GRPC.timeout($0) }.map { now + $0 }
    let work: Stream.Work
    let deadline: NIODeadline
    var refusal: HTTP2Answer?
    switch route(head) {
    case .whole(let exchange): (work, deadline) = (.whole(exchange, body: []), now + limits.bodyTime)
    case .messages(let exchange): (work, deadline) = (.messages(exchange, GRPCDeframer()), now + limits.streamTime)
    case .refusal(let answer): (work, deadline, refusal) = (.answered, now + limits.readTime, answer)
    }
    let stream = Stream(
      id, work, deadline: min(deadline, clientDeadline ?? deadline), clientDeadline: clientDeadline,
      window: limits.streamWindow)
    stream.isAtEnd = isAtEnd
    streams[id] = stream
    if let refusal {
      finish(stream, refusal)
    } else if isAtEnd {
      receiveEnd(on: stream)
    }
  }

  private func receive(_ bytes: ByteBuffer, on stream: Stream) {
    switch stream.work {
    case .answered: break
    case .whole(let exchange, var body):
      guard body.count + bytes.readableBytes <= exchange.limit, hold(bytes.readableBytes, for: stream) else {
        return finish(stream, exchange.tooLarge)
      }
      // So that the array has one owner while it grows.
      stream.work = .answered
      body.append(contentsOf: bytes.readableBytesView)
      stream.work = .whole(exchange, body: body)
    case .messages(let exchange, var deframer):
      guard hold(bytes.readableBytes, for: stream) else {
        return end(stream, GRPCStatus(.resourceExhausted, "the connection holds too much"))
      }
      stream.work = .answered
      deframer.append(bytes.readableBytesView)
      stream.work = .messages(exchange, deframer)
      workOnNextMessage(of: stream)
    }
  }

  private func receiveEnd(on stream: Stream) {
    stream.isAtEnd = true
    switch stream.work {
    case .answered: break
    case .whole(let exchange, let body):
      stream.work = .whole(exchange, body: [])
      let deadline = NIODeadline.now() + limits.answerTime
      stream.deadline = min(deadline, stream.clientDeadline ?? deadline)
      let connection = NIOLoopBound(self, eventLoop: eventLoop)
      let id = stream.id
      stream.task = Task(executorPreference: executor) {
        let answer = await exchange.answer(body)
        connection.value.finish(id, answer)
      }
    case .messages: workOnNextMessage(of: stream)
    }
  }

  // MARK: Messages

  /// Takes the next message when the one before it is answered.
  private func workOnNextMessage(of stream: Stream) {
    guard case .messages(var exchange?, var deframer) = stream.work else { return }
    let message: [UInt8]?
    do {
      message = try deframer.next()
    } catch {
      return end(stream, error)
    }
    release(stream, keeping: deframer.waitingBytes)
    guard let message else {
      stream.work = .messages(exchange, deframer)
      if stream.isAtEnd {
        end(
          stream,
          deframer.waitingBytes == 0 ? nil : GRPCStatus(.invalidArgument, "the stream ends within a message"))
      } else {
        widenWindow(of: stream)
      }
      return
    }
    stream.work = .messages(nil, deframer)
    let connection = NIOLoopBound(self, eventLoop: eventLoop)
    let id = stream.id
    stream.task = Task(executorPreference: executor) {
      let result: Result<[UInt8]?, GRPCStatus>
      do throws(GRPCStatus) {
        result = .success(try await exchange.answer(message))
      } catch {
        result = .failure(error)
      }
      connection.value.continueMessages(id, exchange, result)
    }
  }

  private func continueMessages(
    _ id: HTTP2StreamID, _ exchange: any GRPCMessageExchange, _ result: Result<[UInt8]?, GRPCStatus>
  ) {
    guard isOpenToWrite, let stream = streams[id], case .messages(nil, let deframer) = stream.work else { return }
    stream.task = nil
    switch result {
    case .failure(let status): end(stream, status)
    case .success(nil):
      stream.work = .messages(exchange, deframer)
      workOnNextMessage(of: stream)
    case .success(let message?):
      writeHead(of: stream)
      // The next message is taken when this answer has left: a client that does not read is not read from.
      let written = eventLoop.makePromise(of: Void.self)
      written.futureResult.assumeIsolated().whenSuccess { [weak self] in
        guard let self, let stream = self.streams[id], case .messages(nil, let deframer) = stream.work else { return }
        stream.work = .messages(exchange, deframer)
        self.workOnNextMessage(of: stream)
      }
      write(.data(.init(data: .byteBuffer(GRPC.frame(message)))), to: id, promise: written)
      flushSoon()
    }
  }

  /// Ends a call with a status, nil for a good one.
  private func end(_ stream: Stream, _ status: GRPCStatus?) {
    if let status, !stream.headIsWritten { return finish(stream, status.trailersOnly) }
    writeHead(of: stream)
    write(.headers(.init(headers: status?.trailers ?? GRPCStatus.okTrailers, endStream: true)), to: stream.id)
    settle(stream)
  }

  private func writeHead(of stream: Stream) {
    guard !stream.headIsWritten else { return }
    stream.headIsWritten = true
    write(.headers(.init(headers: GRPC.answerHead)), to: stream.id)
  }

  // MARK: Writing

  private func finish(_ id: HTTP2StreamID, _ answer: HTTP2Answer) {
    guard isOpenToWrite, let stream = streams[id], case .whole = stream.work else { return }
    stream.task = nil
    finish(stream, answer)
  }

  private func finish(_ stream: Stream, _ answer: HTTP2Answer) {
    stream.headIsWritten = true
    write(
      .headers(.init(headers: answer.head, endStream: answer.body == nil && answer.trailers == nil)), to: stream.id)
    if let body = answer.body {
      write(.data(.init(data: .byteBuffer(body), endStream: answer.trailers == nil)), to: stream.id)
    }
    if let trailers = answer.trailers { write(.headers(.init(headers: trailers, endStream: true)), to: stream.id) }
    settle(stream)
  }

  /// What is left to do of a stream whose answer is written.
  private func settle(_ stream: Stream) {
    stream.task?.cancel()
    stream.task = nil
    stream.work = .answered
    stream.deadline = .now() + limits.readTime
    release(stream, keeping: 0)
    // RFC 9113 section 8.1: the client need not send the rest.
    if !stream.isAtEnd { write(.rstStream(.noError), to: stream.id) }
    flushSoon()
  }

  private func reset(_ stream: Stream, _ code: HTTP2ErrorCode) {
    write(.rstStream(code), to: stream.id)
    flushSoon()
  }

  private var isOpenToWrite: Bool { context != nil }

  private func write(_ payload: HTTP2Frame.FramePayload, to id: HTTP2StreamID, promise: EventLoopPromise<Void>? = nil) {
    guard let context else {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    context.write(wrapOutboundOut(HTTP2Frame(streamID: id, payload: payload)), promise: promise)
  }

  /// One flush for all that is answered in this turn of the loop.
  private func flushSoon() {
    guard !flushIsDue else { return }
    flushIsDue = true
    eventLoop.assumeIsolated().execute { [weak self] in
      guard let self else { return }
      self.flushIsDue = false
      self.context?.flush()
    }
  }

  // MARK: Accounts

  /// Counts bytes that a stream holds; false when its connection holds too much.
  private func hold(_ count: Int, for stream: Stream) -> Bool {
    guard bufferedBytes + count <= limits.bufferedBytes else { return false }
    stream.bufferedBytes += count
    bufferedBytes += count
    return true
  }

  private func release(_ stream: Stream, keeping rest: Int) {
    bufferedBytes -= stream.bufferedBytes - rest
    stream.bufferedBytes = rest
  }

  /// Lets a stream's client send more, but not while a message of it is worked on.
  private func widenWindow(of stream: Stream) {
    guard !stream.isAtEnd, stream.window < limits.streamWindow / 2, isOpenToWrite else { return }
    switch stream.work {
    case .whole, .messages(_?, _): break
    case .messages(nil, _), .answered: return
    }
    write(.windowUpdate(windowSizeIncrement: limits.streamWindow - stream.window), to: stream.id)
    flushSoon()
  }

  private func remove(_ id: HTTP2StreamID) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    stream.task?.cancel()
    release(stream, keeping: 0)
    if streams.isEmpty {
      idleUntil = .now() + limits.idleTime
      closeIfDrained()
    }
  }
}
