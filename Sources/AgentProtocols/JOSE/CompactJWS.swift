public import CASACore

/// Why a text is not a compact JWS that may be looked at further. Never quotes the token.
public enum CompactJWSError: Error, Sendable, Hashable {
  case tooLarge(maximumBytes: Int)
  /// Not three parts of canonical base64url.
  case malformed
  /// The header or the payload is not one strict JSON object.
  case notJSON(JSONSyntaxError?)
  /// The header has `crit` or `b64`, which change what the signature means.
  case unsupportedHeader
}

/// A JWS in compact form (RFC 7515 section 7.1), taken apart and not verified.
public struct CompactJWS: Sendable {
  /// An object.
  public let header: JSONValue
  /// An object.
  public let payload: JSONValue
  public let signature: [UInt8]
  /// The bytes that are signed: both parts as they came, with the dot.
  public let signingInput: [UInt8]

  /// - Throws: `CompactJWSError`
  public init(parsing text: String, maximumBytes: Int = 8192) throws(CompactJWSError) {
    guard text.utf8.count <= maximumBytes else { throw .tooLarge(maximumBytes: maximumBytes) }
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
      let signature = Base64URL.decode(parts[2]), !signature.isEmpty
    else { throw .malformed }
    self.header = try Self.object(header)
    self.payload = try Self.object(payload)
    guard self.header["crit"] == nil, self.header["b64"] == nil else { throw .unsupportedHeader }
    self.signature = signature
    signingInput = Array(text.utf8.prefix(parts[0].count + 1 + parts[1].count))
  }

  private static func object(_ bytes: [UInt8]) throws(CompactJWSError) -> JSONValue {
    let value: JSONValue
    do {
      value = try JSONValue(
        parsing: bytes, limits: JSONLimits(maximumBytes: 65_536, maximumDepth: 32, maximumNodes: 4096))
    } catch {
      throw .notJSON(error)
    }
    guard case .object = value else { throw .notJSON(nil) }
    return value
  }
}
