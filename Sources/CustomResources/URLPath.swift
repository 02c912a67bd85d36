/// The path of a URL as an operator may write it: nothing in it that two readers could read differently.
enum URLPath {
  /// - Returns: nil for anything but `/` and printable ASCII without `%`, `\`, `?`, `#`, `;`, `//` and dot segments.
  static func read(_ text: String) -> String? {
    guard text.hasPrefix("/"), text.utf8.count <= 1024, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
      !text.contains(where: { "%\\?#;\"".contains($0) }), !text.contains("//")
    else { return nil }
    let segments = text.split(separator: "/", omittingEmptySubsequences: true)
    return segments.contains(".") || segments.contains("..") ? nil : text
  }
}
