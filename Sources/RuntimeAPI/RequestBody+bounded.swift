import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
  /// The whole body, bounded in size and in the time it may take to arrive.
  /// - Throws: `Refused` with 413 or 408.
  func boundedBody(maximumBytes: Int, deadline: Duration) async throws -> [UInt8] {
    if let declared = headers[.contentLength].flatMap({ Int($0) }), declared > maximumBytes {
      throw Refused(.contentTooLarge, "the body has \(declared) bytes; at most \(maximumBytes) are read")
    }
    let start = ContinuousClock.now
    var bytes: [UInt8] = []
    for try await chunk in body {
      guard bytes.count + chunk.readableBytes <= maximumBytes else {
        throw Refused(.contentTooLarge, "the body has more than the \(maximumBytes) bytes that are read")
      }
      bytes.append(contentsOf: chunk.readableBytesView)
      // A client that drips is cut here; one that stops is cut by the connection's idle time-out.
      guard ContinuousClock.now - start < deadline else {
        throw Refused(.requestTimeout, "the body did not arrive within \(deadline)")
      }
    }
    return bytes
  }
}
