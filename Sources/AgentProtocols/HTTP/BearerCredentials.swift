/// The token of an `Authorization: Bearer` field (RFC 6750 section 2.1).
public struct BearerCredentials: Sendable, CustomStringConvertible {
  /// One or more of `A-Z a-z 0-9 - . _ ~ + /`, then any number of `=`.
  public let token: String

  /// nil for another scheme, for more than one token and for a value longer than 8192 bytes.
  public init?(headerValue: String) {
    guard let token = AuthorizationField.parameter(of: "bearer", in: headerValue, maximumBytes: 8192) else {
      return nil
    }
    let padding = token.drop(while: Self.isTokenByte)
    guard padding.startIndex > token.startIndex, padding.allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
    self.token = String(Substring(token))
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"):
      true
    default: false
    }
  }

  /// Keeps the token out of logs.
  public var description: String { "Bearer (not shown)" }
}
