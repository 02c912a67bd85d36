/// The token of an `Authorization: Bearer` field (RFC 6750 section 2.1).
public struct BearerCredentials: Sendable {
  public let token: String

  /// nil for another scheme, for more than one token and for one longer than 8192 bytes.
  public init?(headerValue: String) {
    guard let parameter = credentials(of: "bearer", in: headerValue), parameter.utf8.count <= 8192 else { return nil }
    let token = parameter.utf8
    let body = token.prefix { byte in
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"):
        true
      default: false
      }
    }
    guard !body.isEmpty, token.dropFirst(body.count).allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
    self.token = String(parameter)
  }
}

/// The user and password of an `Authorization: Basic` field (RFC 7617), as OAuth clients write it: each part is
/// form-encoded first (RFC 6749 section 2.3.1).
public struct BasicCredentials: Sendable {
  public let userID: String
  public let password: String

  /// nil for another scheme and for anything malformed.
  public init?(headerValue: String) {
    guard let parameter = credentials(of: "basic", in: headerValue), parameter.utf8.count <= 4096,
      let bytes = Base64.decode(parameter), let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
      let user = FormBody.decodeComponent(bytes[..<colon]),
      let password = FormBody.decodeComponent(bytes[(colon + 1)...])
    else { return nil }
    userID = user
    self.password = password
  }
}

/// What follows the scheme and at least one space (RFC 9110 section 11.4); nil for another scheme.
private func credentials(of scheme: String, in value: String) -> Substring? {
  let parts = value.split(separator: " ", maxSplits: 1)
  guard parts.count == 2, parts[0].lowercased() == scheme, value.utf8.first != UInt8(ascii: " ") else { return nil }
  return parts[1].drop { $0 == " " }
}
