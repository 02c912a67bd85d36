/// A text in which values are looked for, without regard to case, spaces and thousands separators.
struct SearchableText: Sendable {
  private let bytes: [UInt8]
  private let numbers: Set<Double>
  /// The stems of all words.
  let stems: Set<String>

  init(_ text: String) {
    let normal = Self.normalized(text)
    bytes = Array(normal.utf8)
    numbers = Set(Self.numbers(in: bytes))
    stems = Set(Words.split(normal).lazy.map(Words.stem))
  }

  /// A value prepared to be looked for in many texts.
  struct Needle {
    fileprivate let bytes: [UInt8]
    /// Knuth, Morris and Pratt's: where to go on after a byte that does not match.
    fileprivate let retreats: [Int]
    fileprivate let number: Double?

    init(_ value: ArgumentValue) { self.init(value.text, number: value.number) }

    init(_ text: String, number: Double? = nil) {
      bytes = Array(SearchableText.normalized(text).utf8)
      self.number = number
      var retreats = [0]
      for index in bytes.indices.dropFirst() {
        var matched = retreats[index - 1]
        while matched > 0, bytes[index] != bytes[matched] { matched = retreats[matched - 1] }
        retreats.append(bytes[index] == bytes[matched] ? matched + 1 : 0)
      }
      self.retreats = retreats
    }
  }

  /// Whether the value stands in the text as a whole: not as a part of a longer word or number.
  func contains(_ value: ArgumentValue) -> Bool { contains(Needle(value)) }

  func contains(_ needle: Needle) -> Bool {
    if let number = needle.number, numbers.contains(abs(number)) { return true }
    return count(of: needle, atMost: 1) > 0
  }

  /// How often the text has `value` as a whole; counted no further than `limit`. Takes linear time, whatever the texts.
  func count(of value: Needle, atMost limit: Int = .max) -> Int {
    let (needle, retreats) = (value.bytes, value.retreats)
    guard let first = needle.first, let last = needle.last, needle.count <= bytes.count else { return 0 }
    return bytes.withUnsafeBufferPointer { text in
      var count = 0
      var matched = 0
      for index in text.indices {
        while matched > 0, text[index] != needle[matched] { matched = retreats[matched - 1] }
        guard text[index] == needle[matched] else { continue }
        matched += 1
        guard matched == needle.count else { continue }
        matched = retreats[matched - 1]
        let (start, end) = (index + 1 - needle.count, index + 1)
        let isPart =
          start > 0 && Self.isWordByte(first) && Self.isWordByte(text[start - 1])
          || end < text.count && Self.isWordByte(last) && Self.isWordByte(text[end])
        if !isPart { count += 1 }
        if count == limit { break }
      }
      return count
    }
  }

  /// What part of the value's meaningful words the text has, from 0 to 1.
  func coverage(of value: String) -> Double {
    let stems = Words.contentStems(of: value)
    return stems.isEmpty ? 0 : Double(stems.intersection(self.stems).count) / Double(stems.count)
  }

  static func normalized(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    var space = true
    for scalar in text.lowercased().unicodeScalars where scalar != "," {
      if Passages.isSpace(scalar) || scalar == "\\" {
        if !space { result.append(" ") }
        space = true
      } else {
        result.append(scalar)
        space = false
      }
    }
    if result.last == " " { result.removeLast() }
    return String(result)
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default: false
    }
  }

  /// All numbers without their signs.
  private static func numbers(in bytes: [UInt8]) -> [Double] {
    var numbers: [Double] = []
    var index = 0
    func isDigit(_ index: Int) -> Bool { index < bytes.count && (0x30...0x39).contains(bytes[index]) }
    while index < bytes.count {
      guard isDigit(index) else {
        index += 1
        continue
      }
      let start = index
      while isDigit(index) { index += 1 }
      if index < bytes.count, bytes[index] == UInt8(ascii: "."), isDigit(index + 1) {
        index += 1
        while isDigit(index) { index += 1 }
      }
      // Of a longer run of digits no number is made: it is an identifier, and found as text.
      guard index - start <= 17, let number = Double(String(decoding: bytes[start..<index], as: UTF8.self)) else {
        continue
      }
      numbers.append(number)
    }
    return numbers
  }
}
