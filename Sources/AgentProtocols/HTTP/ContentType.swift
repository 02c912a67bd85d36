/// The value of a `Content-Type` field (RFC 9110 section 8.3) of a body that is read as UTF-8.
public enum ContentType {
  /// Whether `value` is `type`, in any case of letters, with no parameter but `charset=utf-8`.
  /// - Parameter type: in lowercase, without parameters.
  public static func isUTF8(_ value: String, of type: String) -> Bool {
    if value == type { return true }
    let parts = value.lowercased().split(separator: ";", omittingEmptySubsequences: false)
      .map { $0.filter { $0 != " " && $0 != "\t" } }
    return parts.first == type
      && parts.dropFirst().allSatisfy { ["", "charset=utf-8", "charset=\"utf-8\""].contains($0) }
  }
}
