/// Base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly: one text for one sequence of bytes.
public enum Base64URL {
  /// The one text for `bytes`.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String { Base64Alphabet.url.encode(Array(bytes)) }

  /// Reads the UTF-8 bytes of a text; nil for padding, white space, another alphabet, an impossible length and
  /// left-over bits that are not zero.
  public static func decode(_ text: some Collection<UInt8>) -> [UInt8]? { Base64Alphabet.url.decode(Array(text)[...]) }

  /// Reads `text`; nil as for its bytes.
  public static func decode(_ text: some StringProtocol) -> [UInt8]? { decode(text.utf8) }
}
