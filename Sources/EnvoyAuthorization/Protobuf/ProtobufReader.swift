/// Bytes are no message of the expected form.
struct ProtobufError: Error, Sendable, Hashable, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Reads one message of Protocol Buffers' wire format, field by field, without copying what it holds.
///
/// Stricter than the format: no groups, no number longer than it need be to hold 64 bits, and it is for its user to
/// refuse a field that may be there once and is there twice.
struct ProtobufReader {
  /// The whole input; `position` and `end` mark the message within it.
  private let bytes: [UInt8]
  private var position: Int
  private let end: Int

  enum Value {
    case number(UInt64)
    /// A string, bytes or a message.
    case bytes(Range<Int>)
    /// Four or eight bytes that nobody here reads.
    case fixed
  }

  init(_ bytes: [UInt8]) { self.init(bytes, in: bytes.indices) }

  /// - Parameter range: within the indices of `bytes`.
  init(_ bytes: [UInt8], in range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  /// The next field; nil at the message's end.
  mutating func next() throws(ProtobufError) -> (field: UInt64, value: Value)? {
    guard position < end else { return nil }
    let tag = try varint()
    guard tag >> 3 >= 1, tag >> 3 < 1 << 29 else { throw ProtobufError("a field has no number") }
    switch tag & 7 {
    case 0: return (tag >> 3, .number(try varint()))
    case 1: try skip(8)
    case 2:
      let length = try varint()
      guard length <= UInt64(end - position) else { throw ProtobufError("a field is longer than its message") }
      let start = position
      position += Int(length)
      return (tag >> 3, .bytes(start..<position))
    case 5: try skip(4)
    default: throw ProtobufError("a field has a form that is not used")
    }
    return (tag >> 3, .fixed)
  }

  private mutating func skip(_ count: Int) throws(ProtobufError) {
    guard count <= end - position else { throw ProtobufError("a field is longer than its message") }
    position += count
  }

  private mutating func varint() throws(ProtobufError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    throw ProtobufError("a number does not end")
  }
}

extension ProtobufReader.Value {
  /// Where a string, bytes or a message stands.
  func range() throws(ProtobufError) -> Range<Int> {
    guard case .bytes(let range) = self else { throw ProtobufError("a field has another type than expected") }
    return range
  }
}
