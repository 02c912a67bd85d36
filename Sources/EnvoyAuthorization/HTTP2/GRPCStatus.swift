import NIOHPACK

/// How a call ended, when not well (gRPC over HTTP/2, "Responses").
struct GRPCStatus: Error, Sendable, Hashable {
  enum Code: Int, Sendable {
    case ok = 0
    case invalidArgument = 3
    case deadlineExceeded = 4
    case permissionDenied = 7
    case resourceExhausted = 8
    case aborted = 10
    case unimplemented = 12
  }

  let code: Code
  /// For people; never anything secret.
  let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  static let okTrailers: HPACKHeaders = ["grpc-status": "0"]

  var trailers: HPACKHeaders { ["grpc-status": String(code.rawValue), "grpc-message": encodedMessage] }

  /// The whole answer of a call that gave no message ("Trailers-Only").
  var trailersOnly: HTTP2Answer {
    var head = GRPC.answerHead
    head.add(contentsOf: trailers)
    return HTTP2Answer(head: head)
  }

  /// Percent-encoded but for printable ASCII.
  private var encodedMessage: String {
    var text = ""
    for byte in message.utf8 {
      if (0x20...0x7E).contains(byte), byte != UInt8(ascii: "%") {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += byte < 16 ? "%0" : "%"
        text += String(byte, radix: 16, uppercase: true)
      }
    }
    return text
  }
}
