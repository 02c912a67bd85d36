/// Why a body is not a form that may be read.
public enum FormBodyError: Error, Sendable, Hashable, CustomStringConvertible {
  case tooManyFields(maximum: Int)
  /// A name is sent twice (RFC 6749 section 3.2).
  case repeatedName
  /// A percent escape is broken, or the decoded bytes are not UTF-8 or hold U+0000.
  case invalidEncoding

  public var description: String {
    switch self {
    case .tooManyFields(let maximum): "it has more than \(maximum) fields"
    case .repeatedName: "a parameter was sent more than once"
    case .invalidEncoding: "a name or value is not percent-encoded UTF-8"
    }
  }
}

/// An `application/x-www-form-urlencoded` body (RFC 6749 appendix B). A parameter without a value counts as not
/// sent (RFC 6749 section 3.2).
public struct FormBody: Sendable {
  private var fields: [String: String] = [:]

  /// - Throws: `FormBodyError`
  public init(parsing bytes: [UInt8], maximumFields: Int = 64) throws(FormBodyError) {
    var seen: Set<String> = []
    for pair in bytes.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
      guard seen.count < maximumFields else { throw .tooManyFields(maximum: maximumFields) }
      let mark = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
      guard let name = Self.decodeComponent(pair[..<mark]),
        let value = Self.decodeComponent(pair[mark...].dropFirst())
      else { throw .invalidEncoding }
      guard seen.insert(name).inserted else { throw .repeatedName }
      if !value.isEmpty { fields[name] = value }
    }
  }

  public subscript(name: String) -> String? { fields[name] }
  /// The parameters that have a value, in no order.
  public var names: [String] { Array(fields.keys) }

  /// Undoes form encoding; nil for a broken escape, bytes that are not UTF-8, and U+0000.
  static func decodeComponent(_ encoded: ArraySlice<UInt8>) -> String? {
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
    guard !bytes.contains(0) else { return nil }
    return String(validating: bytes, as: UTF8.self)
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
