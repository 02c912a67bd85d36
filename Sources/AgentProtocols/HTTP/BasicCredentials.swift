/// The user and password of an `Authorization: Basic` field (RFC 7617), as OAuth clients write it: each part is
/// form-encoded first (RFC 6749 section 2.3.1).
public struct BasicCredentials: Sendable, CustomStringConvertible {
  /// A client's `client_id`; may be empty.
  public let userID: String
  /// A client's `client_secret`; may be empty.
  public let password: String

  /// nil for another scheme, for anything malformed, for control characters (RFC 7617 section 2) and for a value
  /// longer than 4096 bytes.
  public init?(headerValue: String) {
    guard let parameter = AuthorizationField.parameter(of: "basic", in: headerValue, maximumBytes: 4096),
      let bytes = Base64.decode(Substring(parameter)), let colon = bytes.firstIndex(of: UInt8(ascii: ":")),
      let userID = Self.decode(bytes[..<colon]), let password = Self.decode(bytes[(colon + 1)...])
    else { return nil }
    self.userID = userID
    self.password = password
  }

  /// What such a client sends.
  /// - Parameters: each of characters that form encoding leaves as they are, as CASA's own ids and secrets are.
  public static func headerValue(userID: String, password: String) -> String {
    "Basic " + Base64.encode("\(userID):\(password)".utf8)
  }

  private static func decode(_ part: ArraySlice<UInt8>) -> String? {
    guard let text = FormBody.decodeComponent(part), !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      return nil
    }
    return text
  }

  /// Keeps the password out of logs.
  public var description: String { "Basic (not shown)" }
}
