import NIOCore
import NIOHPACK

/// What is sent back on a stream, at once and whole.
struct HTTP2Answer: Sendable {
  var head: HPACKHeaders
  var body: ByteBuffer?
  var trailers: HPACKHeaders?

  init(head: HPACKHeaders, body: ByteBuffer? = nil, trailers: HPACKHeaders? = nil) {
    self.head = head
    self.body = body
    self.trailers = trailers
  }

  /// An answer that is nothing but its status.
  init(status: Int) { self.init(head: [":status": String(status), "content-length": "0"]) }
}
