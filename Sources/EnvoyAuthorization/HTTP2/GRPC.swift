import NIOCore
import NIOHPACK

/// The framing of gRPC over HTTP/2.
enum GRPC {
  static let maximumMessageBytes = 4 << 20
  /// The flag and the length before each message.
  static let prefixBytes = 5

  static let answerHead: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]

  /// Whether a request's head is that of a call; another one can't read an answer in gRPC.
  static func isCall(_ head: HPACKHeaders) -> Bool {
    guard let type = head.first(name: "content-type") else { return false }
    return type == "application/grpc" || type.hasPrefix("application/grpc+") || type.hasPrefix("application/grpc;")
  }

  /// A message with its prefix.
  static func frame(_ message: [UInt8]) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: prefixBytes + message.count)
    buffer.writeInteger(UInt8(0))
    buffer.writeInteger(UInt32(message.count))
    buffer.writeBytes(message)
    return buffer
  }

  /// The time a client gives a call (`grpc-timeout`): 1 to 8 digits and a unit. nil for anything else.
  static func timeout(_ text: String) -> TimeAmount? {
    guard let unit = text.utf8.last, (2...9).contains(text.utf8.count) else { return nil }
    let digits = text.dropLast()
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int64(digits) else { return nil }
    switch unit {
    case UInt8(ascii: "H"): return .hours(value)
    case UInt8(ascii: "M"): return .minutes(value)
    case UInt8(ascii: "S"): return .seconds(value)
    case UInt8(ascii: "m"): return .milliseconds(value)
    case UInt8(ascii: "u"): return .microseconds(value)
    case UInt8(ascii: "n"): return .nanoseconds(value)
    default: return nil
    }
  }
}

/// Takes messages out of the bytes of a stream.
struct GRPCDeframer: Sendable {
  private var buffer: [UInt8] = []
  private var position = 0

  /// Bytes that are no complete message yet, or not yet taken.
  var waitingBytes: Int { buffer.count - position }

  mutating func append(_ bytes: some Collection<UInt8>) {
    if position > 0 {
      buffer.removeFirst(position)
      position = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next message, nil while it is not complete.
  /// - Throws: `GRPCStatus` for one that is compressed or larger than 4 MiB.
  mutating func next() throws(GRPCStatus) -> [UInt8]? {
    guard waitingBytes >= GRPC.prefixBytes else { return nil }
    switch buffer[position] {
    case 0: break
    case 1: throw GRPCStatus(.unimplemented, "messages must not be compressed")
    default: throw GRPCStatus(.invalidArgument, "a message's flag must be 0 or 1")
    }
    var length = 0
    for index in 1..<GRPC.prefixBytes { length = length << 8 | Int(buffer[position + index]) }
    guard length <= GRPC.maximumMessageBytes else {
      throw GRPCStatus(.resourceExhausted, "a message may have at most \(GRPC.maximumMessageBytes) bytes")
    }
    guard waitingBytes - GRPC.prefixBytes >= length else { return nil }
    let start = position + GRPC.prefixBytes
    position = start + length
    return Array(buffer[start..<position])
  }

  /// The one message that `body` is.
  /// - Throws: `GRPCStatus`
  static func single(_ body: [UInt8]) throws(GRPCStatus) -> [UInt8] {
    var deframer = GRPCDeframer(body)
    guard let message = try deframer.next(), deframer.waitingBytes == 0 else {
      throw GRPCStatus(.invalidArgument, "expected one message")
    }
    return message
  }

  init() {}
  private init(_ bytes: [UInt8]) { buffer = bytes }
}
