import HTTPServing
import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
  /// The whole body, bounded in size; `RequestArrival` bounds the time it may take.
  /// - Throws: `Refused` with 413 or 408.
  func boundedBody(maximumBytes: Int) async throws -> [UInt8] {
    if let declared = headers[.contentLength].flatMap({ Int($0) }), declared > maximumBytes {
      throw Refused(.contentTooLarge, "the body has \(declared) bytes; at most \(maximumBytes) are read")
    }
    var bytes: [UInt8] = []
    do {
      for try await chunk in body {
        guard bytes.count + chunk.readableBytes <= maximumBytes else {
          throw Refused(.contentTooLarge, "the body has more than the \(maximumBytes) bytes that are read")
        }
        bytes.append(contentsOf: chunk.readableBytesView)
      }
    } catch is ArrivedTooLate {
      throw Refused(.requestTimeout, "the body did not arrive in time")
    }
    return bytes
  }
}
