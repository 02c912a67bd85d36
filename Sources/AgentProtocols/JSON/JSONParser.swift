public import CASACore

extension JSONValue {
  /// Reads exactly one JSON text (RFC 8259) within I-JSON (RFC 7493): UTF-8 without byte order mark, no object
  /// with a name twice, no lone surrogate, no integer beyond ±(2^53 − 1). U+0000 is refused too, since readers
  /// in C end a string there.
  ///
  /// Names are compared both by bytes and as Swift compares strings, by canonical equivalence, so that no two
  /// readers disagree on which of two members counts. So that such a comparison stays cheap, more than 128
  /// combining marks in a row are refused. −0 becomes 0.
  /// - Throws: `JSONSyntaxError`
  public init(parsing bytes: [UInt8], limits: JSONLimits = .message) throws(JSONSyntaxError) {
    guard bytes.count <= limits.maximumBytes else { throw JSONSyntaxError(.tooLarge, at: limits.maximumBytes) }
    var parser = JSONParser(bytes: bytes, limits: limits)
    self = try parser.parseText()
  }

  /// Reads `text` as `init(parsing:limits:)` reads its UTF-8 bytes.
  /// - Throws: `JSONSyntaxError`
  public init(parsing text: String, limits: JSONLimits = .message) throws(JSONSyntaxError) {
    try self.init(parsing: Array(text.utf8), limits: limits)
  }
}

/// One pass over the bytes; recursion is bounded by `JSONLimits.maximumDepth`.
private struct JSONParser {
  private let bytes: [UInt8]
  private let limits: JSONLimits
  private var position = 0
  private var nodes = 0

  init(bytes: [UInt8], limits: JSONLimits) {
    self.bytes = bytes
    self.limits = limits
  }

  mutating func parseText() throws(JSONSyntaxError) -> JSONValue {
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { throw error(.byteOrderMark) }
    skipWhitespace()
    if position == bytes.count { throw error(.empty) }
    let value = try parseValue(depth: 0)
    skipWhitespace()
    guard position == bytes.count else { throw error(.trailingBytes) }
    return value
  }

  private mutating func parseValue(depth: Int) throws(JSONSyntaxError) -> JSONValue {
    nodes += 1
    guard nodes <= limits.maximumNodes else { throw error(.tooManyValues) }
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    switch bytes[position] {
    case UInt8(ascii: "{"):
      guard depth < limits.maximumDepth else { throw error(.tooDeep) }
      return try parseObject(depth: depth + 1)
    case UInt8(ascii: "["):
      guard depth < limits.maximumDepth else { throw error(.tooDeep) }
      return try parseArray(depth: depth + 1)
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"): return try parseLiteral("true", .bool(true))
    case UInt8(ascii: "f"): return try parseLiteral("false", .bool(false))
    case UInt8(ascii: "n"): return try parseLiteral("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try parseNumber())
    default: throw error(.unexpectedByte)
    }
  }

  private mutating func parseObject(depth: Int) throws(JSONSyntaxError) -> JSONValue {
    position += 1
    var members: [String: JSONValue] = [:]
    skipWhitespace()
    if consume(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipWhitespace()
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      guard bytes[position] == UInt8(ascii: "\"") else { throw error(.unexpectedByte) }
      let start = position
      let name = try parseString()
      skipWhitespace()
      try expect(UInt8(ascii: ":"))
      skipWhitespace()
      let value = try parseValue(depth: depth)
      // Swift's own equality of strings covers equality of bytes.
      guard members.updateValue(value, forKey: name) == nil else { throw JSONSyntaxError(.duplicateName, at: start) }
      skipWhitespace()
      if consume(UInt8(ascii: "}")) { return .object(members) }
      try expect(UInt8(ascii: ","))
    }
  }

  private mutating func parseArray(depth: Int) throws(JSONSyntaxError) -> JSONValue {
    position += 1
    var elements: [JSONValue] = []
    skipWhitespace()
    if consume(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      skipWhitespace()
      elements.append(try parseValue(depth: depth))
      skipWhitespace()
      if consume(UInt8(ascii: "]")) { return .array(elements) }
      try expect(UInt8(ascii: ","))
    }
  }

  private mutating func parseLiteral(_ text: StaticString, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
    for index in 0..<text.utf8CodeUnitCount {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      guard bytes[position] == text.utf8Start[index] else { throw error(.unexpectedByte) }
      position += 1
    }
    return value
  }

  // MARK: Strings

  private mutating func parseString() throws(JSONSyntaxError) -> String {
    position += 1
    let start = position
    // Most strings are plain ASCII without escapes: those are taken as they stand.
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        let text = text(from: start, to: position)
        position += 1
        return text
      }
      if byte == UInt8(ascii: "\\") || byte < 0x20 || byte >= 0x80 { break }
      position += 1
    }
    return try parseRestOfString(from: start)
  }

  private mutating func parseRestOfString(from start: Int) throws(JSONSyntaxError) -> String {
    var content: [UInt8] = []
    content.reserveCapacity(position - start + 32)
    for index in start..<position { content.append(bytes[index]) }
    var mayHoldMarks = false
    while true {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      let byte = bytes[position]
      switch byte {
      case UInt8(ascii: "\""):
        let text = String(decoding: content, as: UTF8.self)
        guard !mayHoldMarks || CombiningMarks.areBounded(in: text) else {
          throw JSONSyntaxError(.tooManyCombiningMarks, at: start)
        }
        position += 1
        return text
      case UInt8(ascii: "\\"):
        try parseEscape(into: &content)
        mayHoldMarks = mayHoldMarks || (content.last ?? 0) >= 0x80
      case 0..<0x20: throw error(.controlCharacter)
      case 0..<0x80:
        content.append(byte)
        position += 1
      default:
        let length = try lengthOfScalar()
        mayHoldMarks = mayHoldMarks || byte >= 0xCC  // the first byte of U+0300
        for _ in 0..<length {
          content.append(bytes[position])
          position += 1
        }
      }
    }
  }

  /// The length of the multi-byte scalar here, as RFC 3629 section 4 allows it.
  private func lengthOfScalar() throws(JSONSyntaxError) -> Int {
    let first = bytes[position]
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch first {
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xE1...0xEC, 0xEE...0xEF: length = 3
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: length = 4
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    default: throw error(.invalidUTF8)
    }
    guard position + length <= bytes.count, second.contains(bytes[position + 1]) else { throw error(.invalidUTF8) }
    for index in (position + 2)..<max(position + 2, position + length) {
      guard (0x80...0xBF).contains(bytes[index]) else { throw error(.invalidUTF8) }
    }
    return length
  }

  private mutating func parseEscape(into content: inout [UInt8]) throws(JSONSyntaxError) {
    let start = position
    position += 1
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    let kind = bytes[position]
    position += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(kind)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0C)
    case UInt8(ascii: "n"): content.append(0x0A)
    case UInt8(ascii: "r"): content.append(0x0D)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      var code = try parseHexDigits()
      if code == 0 { throw JSONSyntaxError(.nullCharacter, at: start) }
      if (0xD800...0xDBFF).contains(code) {
        guard consume(UInt8(ascii: "\\")), consume(UInt8(ascii: "u")) else {
          throw JSONSyntaxError(.loneSurrogate, at: start)
        }
        let low = try parseHexDigits()
        guard (0xDC00...0xDFFF).contains(low) else { throw JSONSyntaxError(.loneSurrogate, at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw JSONSyntaxError(.loneSurrogate, at: start) }
      content.append(contentsOf: UTF8.encode(scalar) ?? UTF8.EncodedScalar())
    default: throw JSONSyntaxError(.invalidEscape, at: start)
    }
  }

  private mutating func parseHexDigits() throws(JSONSyntaxError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      let digit: UInt8
      switch bytes[position] {
      case let byte where (0x30...0x39).contains(byte): digit = byte - 0x30
      case let byte where (0x41...0x46).contains(byte): digit = byte - 0x41 + 10
      case let byte where (0x61...0x66).contains(byte): digit = byte - 0x61 + 10
      default: throw error(.invalidEscape)
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  // MARK: Numbers

  private mutating func parseNumber() throws(JSONSyntaxError) -> Double {
    let start = position
    let isNegative = consume(UInt8(ascii: "-"))
    let digits = position
    skipDigits()
    let count = position - digits
    guard count > 0 else { throw position < bytes.count ? error(.invalidNumber) : error(.unexpectedEnd) }
    guard count == 1 || bytes[digits] != UInt8(ascii: "0") else { throw JSONSyntaxError(.invalidNumber, at: start) }
    var isWhole = true
    if consume(UInt8(ascii: ".")) {
      isWhole = false
      try skipSomeDigits()
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      position += 1
      if !consume(UInt8(ascii: "+")) { _ = consume(UInt8(ascii: "-")) }
      try skipSomeDigits()
    }
    if isWhole {
      // 2^53 − 1 has 16 digits; 16 digits fit in 64 bits.
      guard count <= 16 else { throw JSONSyntaxError(.numberOutOfRange, at: start) }
      var value: Int64 = 0
      for index in digits..<position { value = value * 10 + Int64(bytes[index] - UInt8(ascii: "0")) }
      guard value <= 9_007_199_254_740_991 else { throw JSONSyntaxError(.numberOutOfRange, at: start) }
      return Double(isNegative ? -value : value)
    }
    // However it is spelled: the canonical form of a number below 10^21 has no exponent, and would be refused above.
    guard position - start <= 512, let value = Double(text(from: start, to: position)), value.isFinite,
      value.magnitude < 9_007_199_254_740_992 || value.magnitude >= 1e21
    else { throw JSONSyntaxError(.numberOutOfRange, at: start) }
    return value == 0 ? 0 : value  // one zero only
  }

  private mutating func skipDigits() {
    while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
  }

  private mutating func skipSomeDigits() throws(JSONSyntaxError) {
    let start = position
    skipDigits()
    guard position > start else { throw position < bytes.count ? error(.invalidNumber) : error(.unexpectedEnd) }
  }

  // MARK: Bytes

  private mutating func skipWhitespace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func consume(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: UInt8) throws(JSONSyntaxError) {
    guard position < bytes.count else { throw error(.unexpectedEnd) }
    guard consume(byte) else { throw error(.unexpectedByte) }
  }

  /// ASCII bytes as text.
  private func text(from start: Int, to end: Int) -> String {
    String(decoding: bytes[start..<end], as: UTF8.self)
  }

  private func error(_ problem: JSONSyntaxError.Problem) -> JSONSyntaxError { JSONSyntaxError(problem, at: position) }
}
