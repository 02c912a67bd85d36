internal import Mustache

/// How text from outside stands in a page: marked up for HTML, and with whatever a reader can't see made visible.
///
/// A tool named with U+202E reads backwards, a zero-width space makes two names look like one, and an escape character
/// hides what follows. They are shown as `⟦U+202E⟧`. Line feeds and tabs stay. The Mustache library's own escaping goes
/// by Swift's characters, in which a quotation mark with a combining accent is not a quotation mark any more; a browser
/// reads it as one. So this goes by Unicode scalars.
struct VisibleText: MustacheContentType {
  static let name = "VISIBLE"

  func escapeText(_ text: String) -> String {
    // Most values are identifiers and words.
    if text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) && !Self.isMarkup($0) }) { return text }
    var output = ""
    output.reserveCapacity(text.utf8.count + 32)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "<": output += "&lt;"
      case ">": output += "&gt;"
      case "&": output += "&amp;"
      case "\"": output += "&quot;"
      case "'": output += "&#39;"
      case _ where Self.isInvisible(scalar): output += Self.escape(scalar)
      default: output.unicodeScalars.append(scalar)
      }
    }
    return output
  }

  private static func isMarkup(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "<") || byte == UInt8(ascii: ">") || byte == UInt8(ascii: "&") || byte == UInt8(ascii: "\"")
      || byte == UInt8(ascii: "'")
  }

  /// Control, format and private characters, separators of lines, and blanks that look like nothing or like a space.
  static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "\n", "\t": return false
    // What the categories below don't hold: fillers, and selectors of a variant.
    case "\u{115F}", "\u{1160}", "\u{3164}", "\u{FFA0}", "\u{034F}", "\u{2800}", "\u{180B}"..."\u{180F}",
      "\u{FE00}"..."\u{FE0E}", "\u{E0100}"..."\u{E01EF}":
      return true
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: return true
    case .spaceSeparator: return scalar != " " && scalar != "\u{A0}" && scalar != "\u{3000}"
    default: return false
    }
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return "⟦U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "⟧"
  }
}
