/// Finds what names one thing in the world: e-mail addresses, URLs, account numbers.
enum Identifiers {
  /// The identifiers within a text, in order.
  static func find(in text: String) -> [String] {
    text.unicodeScalars.split { Passages.isSpace($0) || "\"'<>()[]{},;|`".unicodeScalars.contains($0) }.compactMap {
      var token = Substring($0)
      while let last = token.last, ".:!?".contains(last) { token.removeLast() }
      return isURL(token) || isEmail(token) || isAccount(token) ? String(token) : nil
    }
  }

  /// Whether text without spaces looks like a name that machines gave.
  static func isIdentifier(_ text: String) -> Bool {
    guard !text.contains(where: \.isWhitespace) else { return false }
    let scalars = Array(text.unicodeScalars)
    return scalars.indices.contains { index in
      switch scalars[index] {
      case "0"..."9", "@", "/", "_": true
      case ".":
        index > 0 && index + 1 < scalars.count && Words.isPart(scalars[index - 1]) && Words.isPart(scalars[index + 1])
      default: false
      }
    }
  }

  static func isURL(_ text: some StringProtocol) -> Bool {
    let start = text.prefix(8).lowercased()
    return start.hasPrefix("http://") || start.hasPrefix("https://") || start.hasPrefix("www.")
  }

  /// A URL's scheme, as `https` in `https:/example.com`; nil where none is. A single letter is a drive.
  static func scheme(of text: String) -> Substring? {
    let scheme = text.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
    guard (2...16).contains(scheme.utf8.count), scheme.first?.isLetter ?? false,
      text.dropFirst(scheme.count).first == ":"
    else { return nil }
    let isWeb = ["http", "https", "ftp", "ws", "wss"].contains(scheme.lowercased())
    return isWeb || text.dropFirst(scheme.count + 1).first.map { "/\\".contains($0) } ?? false ? scheme : nil
  }

  /// Whether a reader of URLs would go to another machine by it, however little it looks like one: with another scheme,
  /// with none (`//example.com`), or as `example.com/path`.
  static func leadsElsewhere(_ text: String) -> Bool {
    guard scheme(of: text) == nil else { return true }
    let start = text.prefix(2)
    if start.count == 2, start.allSatisfy({ "/\\".contains($0) }) { return true }
    let authority = text.prefix { !"/?#\\".contains($0) }
    let afterUser = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    let host = afterUser.prefix { $0 != ":" }
    let isFollowed =
      authority.endIndex < text.endIndex || (afterUser.dropFirst(host.count + 1).first?.isNumber ?? false)
    guard isFollowed else { return false }
    if afterUser.hasPrefix("["), afterUser.contains("]") { return true }
    let labels = host.split(separator: ".", omittingEmptySubsequences: false)
    guard labels.count >= 2, labels.allSatisfy({ !$0.isEmpty && $0.allSatisfy(isHostCharacter) }) else { return false }
    let isIPv4 = labels.count == 4 && labels.allSatisfy { $0.allSatisfy(\.isNumber) }
    return isIPv4 || (labels.last?.count ?? 0) >= 2 && labels.last?.allSatisfy(\.isLetter) ?? false
  }

  private static func isHostCharacter(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "-" || character == "_"
  }

  /// Whether the text is a date, with a time or without (2024-05-01T10:00:00Z), and nothing else.
  static func isDate(_ text: String) -> Bool {
    let bytes = Array(text.utf8.prefix(36))
    return (10...35).contains(bytes.count)
      && bytes.indices.allSatisfy { index in
        switch index {
        case 4, 7: bytes[index] == UInt8(ascii: "-")
        case ..<10: (0x30...0x39).contains(bytes[index])
        default: (0x30...0x39).contains(bytes[index]) || "TZ:+-. ".utf8.contains(bytes[index])
        }
      }
  }

  private static func isEmail(_ token: Substring) -> Bool {
    let parts = token.split(separator: "@", omittingEmptySubsequences: false)
    return parts.count == 2 && !parts[0].isEmpty && parts[1].contains(".") && !parts[1].hasPrefix(".")
  }

  /// Two capital letters, two digits and 8 to 30 more, as an IBAN has them.
  private static func isAccount(_ token: Substring) -> Bool {
    let bytes = Array(token.utf8)
    return (12...34).contains(bytes.count) && bytes[..<2].allSatisfy { (0x41...0x5A).contains($0) }
      && bytes[2..<4].allSatisfy { (0x30...0x39).contains($0) }
      && bytes[4...].allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
  }
}
