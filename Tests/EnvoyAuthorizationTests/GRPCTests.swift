import NIOCore
import NIOHPACK
import Testing

@testable import EnvoyAuthorization

private func frame(_ message: [UInt8], flag: UInt8 = 0) -> [UInt8] {
  let length = UInt32(message.count)
  return [flag] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + message
}

private func code(_ operation: () throws(GRPCStatus) -> Void) -> GRPCStatus.Code? {
  do {
    try operation()
    return nil
  } catch {
    return error.code
  }
}

@Suite("gRPC's framing")
struct GRPCTests {
  @Test("takes messages out of bytes however they are cut", arguments: [1, 2, 3, 5, 7, 100])
  func cuts(size: Int) throws {
    let messages: [[UInt8]] = [[], [1], Array(repeating: 7, count: 300), [], [2, 3]]
    let bytes = messages.flatMap { frame($0) }
    var deframer = GRPCDeframer()
    var found: [[UInt8]] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      deframer.append(bytes[start..<min(start + size, bytes.count)])
      while let message = try deframer.next() { found.append(message) }
    }
    #expect(found == messages)
    #expect(deframer.waitingBytes == 0)
  }

  @Test("refuses what is compressed, too large or odd as soon as it shows")
  func refuses() {
    for (bytes, expected) in [
      (frame([1], flag: 1), GRPCStatus.Code.unimplemented), (frame([1], flag: 2), .invalidArgument),
      ([0, 0xFF, 0xFF, 0xFF, 0xFF], .resourceExhausted), ([0, 0, 0x40, 0, 1], .resourceExhausted),
    ] {
      var deframer = GRPCDeframer()
      deframer.append(bytes)
      #expect(code { () throws(GRPCStatus) in _ = try deframer.next() } == expected)
    }
  }

  @Test("of a unary call is one message and nothing else")
  func single() throws {
    #expect(try GRPCDeframer.single(frame([1, 2])) == [1, 2])
    for body in [[], [0], frame([1]) + [0], frame([1]) + frame([1]), Array(frame([1, 2]).dropLast())] {
      #expect(code { () throws(GRPCStatus) in _ = try GRPCDeframer.single(body) } == .invalidArgument)
    }
  }

  @Test("is written as it is read")
  func writes() throws {
    let message = [UInt8](repeating: 9, count: 70_000)
    #expect(Array(GRPC.frame(message).readableBytesView) == frame(message))
  }

  @Test("has time-outs of 1 to 8 digits and a unit")
  func timeouts() {
    #expect(GRPC.timeout("5000m") == .milliseconds(5000))
    #expect(GRPC.timeout("99999999H") == .hours(99_999_999))
    #expect(GRPC.timeout("0n") == .nanoseconds(0))
    for text in ["", "5", "m", "-5m", "+5m", "5 m", "123456789m", "5x", "5mm", "٥m"] {
      #expect(GRPC.timeout(text) == nil)
    }
  }

  @Test("writes a status' message so that no byte of it is taken for another field")
  func message() {
    let status = GRPCStatus(.aborted, "50% é\r\n")
    #expect(status.trailers.first(name: "grpc-message") == "50%25 %C3%A9%0D%0A")
    #expect(status.trailersOnly.head.first(name: "grpc-status") == "10")
  }
}
