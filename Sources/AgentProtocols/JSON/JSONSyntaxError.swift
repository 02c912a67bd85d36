/// Why bytes are not one strict JSON text (RFC 8259, RFC 7493), and where. Never quotes what it read.
public struct JSONSyntaxError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is wrong; the raw value says it to people.
  public enum Problem: String, Sendable, Hashable, CaseIterable {
    case empty = "expected a value, found nothing"
    case byteOrderMark = "expected a value without a byte order mark before it"
    case tooLarge = "the text is larger than allowed"
    case tooDeep = "arrays and objects nest deeper than allowed"
    case tooManyValues = "there are more values than allowed"
    case invalidUTF8 = "expected UTF-8"
    case unexpectedByte = "this byte can't stand here"
    case unexpectedEnd = "the text ends too early"
    case trailingBytes = "expected the end of the text after the value"
    case duplicateName = "expected each name of an object once"
    case loneSurrogate = "expected both halves of a surrogate pair"
    case tooManyCombiningMarks = "more combining marks follow each other than allowed"
    case nullCharacter = "the character U+0000 is not allowed"
    case controlCharacter = "a control character must be escaped"
    case invalidEscape = "this escape does not exist"
    case invalidNumber = "this is not a number of JSON"
    case numberOutOfRange = "the number can't be read the same way by everyone"
  }

  public let problem: Problem
  /// In bytes from the beginning.
  public let offset: Int

  /// - Parameter offset: in bytes from the beginning, at least 0.
  public init(_ problem: Problem, at offset: Int) {
    self.problem = problem
    self.offset = offset
  }

  public var description: String { "\(problem.rawValue) (byte \(offset))" }
}
