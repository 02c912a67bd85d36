/// Why a text is not a compact JWS that may be looked at further. Never quotes the token.
public enum CompactJWSError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The text is longer than `maximumBytes` bytes.
  case tooLarge(maximumBytes: Int)
  /// Not three non-empty parts of canonical base64url.
  case malformed
  /// The header or the payload is not one strict JSON object; nil when it is JSON, but not an object.
  case notJSON(JSONSyntaxError?)
  /// The header has `crit` or `b64` (RFC 7515 section 4.1.11, RFC 7797), which change what the signature means.
  case unsupportedHeader

  /// One sentence for people.
  public var description: String {
    switch self {
    case .tooLarge(let maximum): "the token is longer than \(maximum) bytes"
    case .malformed: "expected three parts of base64url without padding, with dots between them"
    case .notJSON(let error?): "expected the token's header and payload to be strict JSON: \(error)"
    case .notJSON(nil): "expected the token's header and payload to be JSON objects"
    case .unsupportedHeader: "the token's header has crit or b64, which are not supported"
    }
  }
}
