/// The value of a `Content-Encoding` field (RFC 9110 section 8.4).
public enum ContentEncoding {
  /// Whether `value` says that a body is encoded in no way: `identity`, in any case of letters, or no value at all.
  ///
  /// By bytes: as strings, a value of nothing but combining marks would take long to compare (`CombiningMarks`).
  public static func isIdentity(_ value: String?) -> Bool {
    guard let value else { return true }
    return value.utf8.elementsEqual("identity".utf8) { $0 | 0x20 == $1 }
  }
}
