/// An `application/x-www-form-urlencoded` body (RFC 6749 appendix B). A parameter without a value counts as not
/// sent (RFC 6749 section 3.2).
public struct FormBody: Sendable {
  /// With those that have no value, as empty text.
  private var fields: [String: String] = [:]

  /// Reads all fields of a form.
  /// - Parameter maximumFields: how many fields there may be, with or without a value.
  /// - Throws: `FormBodyError`
  public init(parsing bytes: [UInt8], maximumFields: Int = 64) throws(FormBodyError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let pair = rest.prefix { $0 != UInt8(ascii: "&") }
      rest = rest.dropFirst(pair.count + 1)
      if pair.isEmpty { continue }
      guard fields.count < maximumFields else { throw .tooManyFields(maximum: maximumFields) }
      let encodedName = pair.prefix { $0 != UInt8(ascii: "=") }
      guard let name = Self.decodeComponent(encodedName),
        let value = Self.decodeComponent(pair[encodedName.endIndex...].dropFirst())
      else { throw .invalidEncoding }
      guard fields.updateValue(value, forKey: name) == nil else { throw .repeatedName }
    }
  }

  /// The value of the parameter `name`, never empty; nil when it was not sent or has no value.
  public subscript(name: String) -> String? {
    guard let value = fields[name], !value.isEmpty else { return nil }
    return value
  }
  /// The parameters that have a value, in no order.
  public var names: [String] { fields.filter { !$0.value.isEmpty }.map(\.key) }

  /// Undoes form encoding; nil for a broken escape, bytes that are not UTF-8, U+0000 and more combining marks in a
  /// row than may be compared.
  static func decodeComponent(_ encoded: ArraySlice<UInt8>) -> String? {
    // Most names and values, tokens among them, stand as they are.
    if encoded.allSatisfy({ (0x21..<0x7F).contains($0) && $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "%") }) {
      return String(decoding: encoded, as: UTF8.self)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(encoded.count)
    var rest = encoded
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): bytes.append(0x20)
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
          return nil
        }
        bytes.append(high << 4 | low)
      default: bytes.append(byte)
      }
    }
    guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self), CombiningMarks.areBounded(in: text)
    else { return nil }
    return text
  }

  private static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}

extension FormBody {
  /// Writes a form (RFC 6749 appendix B).
  public static func encode(_ fields: [(String, String)]) -> [UInt8] {
    var output: [UInt8] = []
    for (index, field) in fields.enumerated() {
      if index > 0 { output.append(UInt8(ascii: "&")) }
      encode(field.0, into: &output)
      output.append(UInt8(ascii: "="))
      encode(field.1, into: &output)
    }
    return output
  }

  private static func encode(_ text: String, into output: inout [UInt8]) {
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
        output.append(byte)
      default: output += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
  }
}
