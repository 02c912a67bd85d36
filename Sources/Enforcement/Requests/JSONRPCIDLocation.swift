#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Where the id of a JSON-RPC request stands in its body, so that an adapter can tell bodies that differ in nothing
/// else.
///
/// The adapter looks for the first `"id":` with a whole number of 1 to 15 digits, no zero in front, and `,` or `}`
/// right behind it. That may be an argument of a tool as well; here it is found out whether it is the request's own id.
public struct JSONRPCIDLocation: Sendable, Hashable {
  /// Of the number's first digit, from 0.
  public let offset: Int
  public let length: Int

  private static let key = Array(#""id":"#.utf8)
  private static let maximumDigits = 15

  /// - Parameter body: strict JSON whose value is an object, with no name twice.
  /// - Returns: nil when the first such member is not one of the outermost object.
  public init?(in body: [UInt8]) {
    guard let (start, digits) = body.withUnsafeBytes({ Self.candidate(in: $0) }),
      Self.isOutermostMember(at: start, in: body)
    else {
      return nil
    }
    offset = digits.lowerBound
    length = digits.count
  }

  /// The first number that looks like an id: where its name begins, and where its digits are.
  static func candidate(in body: UnsafeRawBufferPointer) -> (start: Int, digits: Range<Int>)? {
    var position = 0
    while let start = firstKey(in: body, from: position) {
      position = start + 1
      let first = start + key.count
      guard first < body.count, (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(body[first]) else { continue }
      var end = first + 1
      while end < body.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(body[end]) { end += 1 }
      guard end < body.count, body[end] == UInt8(ascii: ",") || body[end] == UInt8(ascii: "}") else { continue }
      return end - first <= maximumDigits ? (start, first..<end) : nil
    }
    return nil
  }

  private static func firstKey(in body: UnsafeRawBufferPointer, from position: Int) -> Int? {
    guard let start = body.baseAddress else { return nil }
    var position = position
    while position + key.count <= body.count {
      guard let quote = memchr(start + position, Int32(UInt8(ascii: "\"")), body.count - position - key.count + 1)
      else {
        return nil
      }
      if memcmp(quote, key, key.count) == 0 { return UnsafeRawPointer(quote) - start }
      position = UnsafeRawPointer(quote) - start + 1
    }
    return nil
  }

  /// Whether a name of the outermost object begins at `target`: no string is open there, and one bracket is.
  private static func isOutermostMember(at target: Int, in body: [UInt8]) -> Bool {
    var depth = 0
    var isInString = false
    var position = 0
    while position < target {
      switch body[position] {
      case UInt8(ascii: "\\") where isInString: position += 1
      case UInt8(ascii: "\""): isInString.toggle()
      case UInt8(ascii: "{") where !isInString, UInt8(ascii: "[") where !isInString: depth += 1
      case UInt8(ascii: "}") where !isInString, UInt8(ascii: "]") where !isInString: depth -= 1
      default: break
      }
      position += 1
    }
    // What stands before an object's first member is at most white space, then the bracket.
    let opening = body.first { !" \t\r\n".utf8.contains($0) }
    return position == target && !isInString && depth == 1 && opening == UInt8(ascii: "{")
  }
}
