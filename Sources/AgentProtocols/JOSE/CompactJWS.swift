public import CASACore

/// A JWS in compact form (RFC 7515 section 7.1), taken apart and not verified.
public struct CompactJWS: Sendable {
  /// An object, without `crit` and `b64`.
  public let header: JSONValue
  /// An object.
  public let payload: JSONValue
  /// At least one byte.
  public let signature: [UInt8]
  /// The bytes that are signed: both parts as they came, with the dot.
  public let signingInput: [UInt8]

  /// Takes `text` apart.
  /// - Parameter maximumBytes: of the whole text.
  /// - Throws: `CompactJWSError`
  public init(parsing text: String, maximumBytes: Int = 8192) throws(CompactJWSError) {
    guard text.utf8.count <= maximumBytes else { throw .tooLarge(maximumBytes: maximumBytes) }
    let bytes = Array(text.utf8)
    // A fourth part stays within the third, where its dot is no letter of base64url.
    let parts = bytes.split(separator: UInt8(ascii: "."), maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty }), let header = Base64URL.decode(parts[0]),
      let payload = Base64URL.decode(parts[1]), let signature = Base64URL.decode(parts[2])
    else { throw .malformed }
    self.header = try Self.object(header)
    guard self.header["crit"] == nil, self.header["b64"] == nil else { throw .unsupportedHeader }
    self.payload = try Self.object(payload)
    self.signature = signature
    signingInput = Array(bytes[..<parts[1].endIndex])
  }

  private static func object(_ bytes: [UInt8]) throws(CompactJWSError) -> JSONValue {
    let value: JSONValue
    do {
      // The whole text's limit bounds the bytes.
      value = try JSONValue(
        parsing: bytes, limits: JSONLimits(maximumBytes: bytes.count, maximumDepth: 32, maximumNodes: 4096))
    } catch {
      throw .notJSON(error)
    }
    guard case .object = value else { throw .notJSON(nil) }
    return value
  }
}
