/// Why bytes are not one strict JSON text, and where. Never quotes what it read.
public struct JSONSyntaxError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Problem: String, Sendable, Hashable, CaseIterable {
    case empty = "expected a value, found nothing"
    case byteOrderMark = "a byte order mark is not allowed"
    case tooLarge = "the text is larger than allowed"
    case tooDeep = "the nesting is deeper than allowed"
    case tooManyValues = "there are more values than allowed"
    case invalidUTF8 = "the bytes are not UTF-8"
    case unexpectedByte = "this byte can't stand here"
    case unexpectedEnd = "the text ends too early"
    case trailingBytes = "something follows the value"
    case duplicateName = "an object has a name twice"
    case loneSurrogate = "an escape is half of a surrogate pair"
    case nullCharacter = "the character U+0000 is not allowed"
    case controlCharacter = "a control character must be escaped"
    case invalidEscape = "this escape does not exist"
    case invalidNumber = "this is not a number of JSON"
    case numberOutOfRange = "the number can't be read the same way by everyone"
  }

  public let problem: Problem
  /// In bytes from the beginning.
  public let offset: Int

  public init(_ problem: Problem, at offset: Int) {
    self.problem = problem
    self.offset = offset
  }

  public var description: String { "\(problem.rawValue) (byte \(offset))" }
}
