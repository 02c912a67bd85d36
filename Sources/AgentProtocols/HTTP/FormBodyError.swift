/// Why a body is not a form that may be read. Never quotes the body.
public enum FormBodyError: Error, Sendable, Hashable, CustomStringConvertible {
  /// There are more than `maximum` fields.
  case tooManyFields(maximum: Int)
  /// A name is sent twice (RFC 6749 section 3.2).
  case repeatedName
  /// A percent escape is broken, or the decoded bytes are not UTF-8, hold U+0000 or heap up combining marks.
  case invalidEncoding

  /// One clause for people, with the form as its subject.
  public var description: String {
    switch self {
    case .tooManyFields(let maximum): "it has more than \(maximum) fields"
    case .repeatedName: "a parameter was sent more than once"
    case .invalidEncoding: "a name or value is not percent-encoded UTF-8 without U+0000"
    }
  }
}
