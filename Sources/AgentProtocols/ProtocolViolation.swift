public import CASACore

/// Why a message is not one that may pass: for machines, for people, and to which request the answer belongs.
public struct ProtocolViolation: Error, Sendable, Hashable {
  public let reason: RefusalReason
  /// One sentence: what was expected and what came. Never a value out of the body.
  public let detail: String
  /// The id of the JSON-RPC request, when it could be read.
  public var requestID: JSONRPCID?

  public init(_ reason: RefusalReason, _ detail: String, requestID: JSONRPCID? = nil) {
    self.reason = reason
    self.detail = detail
    self.requestID = requestID
  }
}
