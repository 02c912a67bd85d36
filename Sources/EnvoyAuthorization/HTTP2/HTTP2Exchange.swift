/// How a request is answered, chosen by its head alone.
enum HTTP2Exchange: Sendable {
  /// At once, whatever comes after the head.
  case refusal(HTTP2Answer)
  /// Once, when the whole body has come.
  case whole(WholeExchange)
  /// Message by message (gRPC).
  case messages(any GRPCMessageExchange)
}

/// A request whose body is collected before it is answered.
struct WholeExchange: Sendable {
  /// The largest body, in bytes.
  let limit: Int
  /// Sent when the body is larger, or the connection holds too many others.
  let tooLarge: HTTP2Answer
  /// Sent when the body, or the answer, does not come in time.
  let tooLate: HTTP2Answer
  let answer: @Sendable (_ body: [UInt8]) async -> HTTP2Answer
}

/// A stream of gRPC messages that go both ways, each question answered before the next one is read.
protocol GRPCMessageExchange: Sendable {
  /// - Returns: the answer, nil when the question needs none.
  /// - Throws: the status that ends the stream.
  mutating func answer(_ message: [UInt8]) async throws(GRPCStatus) -> [UInt8]?
}
