import CASACore

/// The value of a `Content-Type` field (RFC 9110 section 8.3) of a body that is read as UTF-8.
public enum ContentType {
  /// Whether `value` is `type`, in any case of letters, with no parameter but `charset=utf-8`.
  ///
  /// By bytes: as strings, a value of nothing but combining marks would take long to compare (`CombiningMarks`).
  /// - Parameter type: in lowercase, without parameters.
  public static func isUTF8(_ value: String, of type: String) -> Bool {
    if haveSameBytes(value, type) { return true }
    let parts = bytes(of: value).split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    guard let first = parts.first, first.elementsEqual(type.utf8) else { return false }
    let parameters = ["", "charset=utf-8", "charset=\"utf-8\""]
    return parts.dropFirst().allSatisfy { part in parameters.contains { part.elementsEqual($0.utf8) } }
  }

  /// Whether `value` names `type`, in any case of letters, whatever its parameters are.
  /// - Parameter type: in lowercase, without parameters.
  public static func names(_ type: String, in value: String) -> Bool {
    bytes(of: value).prefix { $0 != UInt8(ascii: ";") }.elementsEqual(type.utf8)
  }

  /// In lowercase, without white space.
  private static func bytes(of value: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for byte in value.utf8 where byte != 0x20 && byte != 0x09 {
      bytes.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
    }
    return bytes
  }
}
