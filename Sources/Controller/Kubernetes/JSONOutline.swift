import AgentProtocols

/// Where the parts of a JSON text stand, found by quotes and brackets alone.
///
/// A page of a list is taken apart by it, so that one object which the strict parser refuses, and which anybody who
/// may write an object can make, hides no other. What it finds is read by the strict parser before it is believed.
struct JSONOutline {
  let bytes: [UInt8]

  struct Member {
    /// The name as it is written, between its quotes.
    let name: Range<Int>
    let value: Range<Int>

    /// From the name's first quote to the end of the value.
    var whole: Range<Int> { (name.lowerBound - 1)..<value.upperBound }
  }

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func text(_ span: Range<Int>) -> [UInt8] { Array(bytes[span]) }

  /// The value that the whole text is.
  func root() throws(JSONSyntaxError) -> Range<Int> {
    let start = afterSpaces(0)
    let end = try endOfValue(start)
    guard afterSpaces(end) == bytes.count else { throw JSONSyntaxError(.trailingBytes, at: end) }
    return start..<end
  }

  /// The members of the object at `span`.
  func members(_ span: Range<Int>) throws(JSONSyntaxError) -> [Member] {
    var members: [Member] = []
    var position = try open(span, UInt8(ascii: "{"))
    while true {
      if byte(position) == UInt8(ascii: "}"), members.isEmpty { break }
      guard byte(position) == UInt8(ascii: "\"") else { throw JSONSyntaxError(.unexpectedByte, at: position) }
      let endOfName = try endOfString(position)
      let colon = afterSpaces(endOfName)
      guard byte(colon) == UInt8(ascii: ":") else { throw JSONSyntaxError(.unexpectedByte, at: colon) }
      let start = afterSpaces(colon + 1)
      let end = try endOfValue(start)
      members.append(Member(name: (position + 1)..<(endOfName - 1), value: start..<end))
      position = afterSpaces(end)
      if byte(position) == UInt8(ascii: "}") { break }
      guard byte(position) == UInt8(ascii: ",") else { throw JSONSyntaxError(.unexpectedByte, at: position) }
      position = afterSpaces(position + 1)
    }
    guard position + 1 == span.upperBound else { throw JSONSyntaxError(.unexpectedByte, at: position) }
    return members
  }

  /// The elements of the array at `span`.
  func elements(_ span: Range<Int>) throws(JSONSyntaxError) -> [Range<Int>] {
    var elements: [Range<Int>] = []
    var position = try open(span, UInt8(ascii: "["))
    while true {
      if byte(position) == UInt8(ascii: "]"), elements.isEmpty { break }
      let end = try endOfValue(position)
      elements.append(position..<end)
      position = afterSpaces(end)
      if byte(position) == UInt8(ascii: "]") { break }
      guard byte(position) == UInt8(ascii: ",") else { throw JSONSyntaxError(.unexpectedByte, at: position) }
      position = afterSpaces(position + 1)
    }
    guard position + 1 == span.upperBound else { throw JSONSyntaxError(.unexpectedByte, at: position) }
    return elements
  }

  /// The value of the member that is written `name`, without escapes.
  func value(of name: StaticString, in members: [Member]) -> Range<Int>? {
    members.first { isNamed($0, name) }?.value
  }

  func isNamed(_ member: Member, _ name: StaticString) -> Bool {
    guard member.name.count == name.utf8CodeUnitCount else { return false }
    for (offset, index) in member.name.enumerated() where bytes[index] != name.utf8Start[offset] { return false }
    return true
  }

  private func byte(_ position: Int) -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private func open(_ span: Range<Int>, _ bracket: UInt8) throws(JSONSyntaxError) -> Int {
    guard !span.isEmpty, span.upperBound <= bytes.count, bytes[span.lowerBound] == bracket else {
      throw JSONSyntaxError(.unexpectedByte, at: span.lowerBound)
    }
    return afterSpaces(span.lowerBound + 1)
  }

  private func afterSpaces(_ start: Int) -> Int {
    var position = start
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return position
      }
    }
    return position
  }

  private func endOfString(_ start: Int) throws(JSONSyntaxError) -> Int {
    let end = bytes.withUnsafeBufferPointer { bytes -> Int? in
      var position = start + 1
      while position < bytes.count {
        switch bytes[position] {
        case UInt8(ascii: "\""): return position + 1
        case UInt8(ascii: "\\"): position += 2
        default: position += 1
        }
      }
      return nil
    }
    guard let end else { throw JSONSyntaxError(.unexpectedEnd, at: bytes.count) }
    return end
  }

  private func endOfValue(_ start: Int) throws(JSONSyntaxError) -> Int {
    switch byte(start) {
    case nil: throw JSONSyntaxError(.unexpectedEnd, at: bytes.count)
    case UInt8(ascii: "\"")?: return try endOfString(start)
    case UInt8(ascii: "{")?, UInt8(ascii: "[")?: return try endOfContainer(start)
    default:
      var position = start
      while let byte = byte(position), !Self.endsScalar(byte) { position += 1 }
      guard position > start else { throw JSONSyntaxError(.unexpectedByte, at: start) }
      return position
    }
  }

  private func endOfContainer(_ start: Int) throws(JSONSyntaxError) -> Int {
    let end = bytes.withUnsafeBufferPointer { bytes -> Int? in
      var (position, depth, isInString) = (start, 0, false)
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        if isInString {
          if byte == UInt8(ascii: "\\") { position += 1 }
          if byte == UInt8(ascii: "\"") { isInString = false }
          continue
        }
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          depth -= 1
          if depth == 0 { return position }
        default: break
        }
      }
      return nil
    }
    guard let end else { throw JSONSyntaxError(.unexpectedEnd, at: bytes.count) }
    return end
  }

  private static func endsScalar(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: "\""),
      UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ":"):
      true
    default: false
    }
  }
}
