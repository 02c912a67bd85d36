/// Base64 with padding (RFC 4648 section 4), strictly.
public enum Base64 {
  /// The one text for `bytes`, padding included.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let bytes = Array(bytes)
    return Base64Alphabet.standard.encode(bytes) + String(repeating: "=", count: (3 - bytes.count % 3) % 3)
  }

  /// nil unless `text` is exactly what an encoder writes, padding included.
  public static func decode(_ text: some StringProtocol) -> [UInt8]? {
    let bytes = Array(text.utf8)
    guard bytes.count % 4 == 0 else { return nil }
    let padding = bytes.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
    return Base64Alphabet.standard.decode(bytes.dropLast(padding))
  }
}
