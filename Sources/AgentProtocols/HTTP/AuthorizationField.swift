/// The value of an `Authorization` field whose scheme is known (RFC 9110 section 11.6.2).
enum AuthorizationField {
  /// What follows `scheme`, in any case of letters, and at least one space; nil for another scheme, for nothing
  /// after it and for a value of more than `maximumBytes` bytes.
  ///
  /// Works on bytes: as characters, a space with a combining mark would not be a space.
  /// - Parameter scheme: in lowercase.
  static func parameter(of scheme: StaticString, in value: String, maximumBytes: Int) -> Substring.UTF8View? {
    let bytes = value[...].utf8
    let length = scheme.utf8CodeUnitCount
    guard bytes.count <= maximumBytes, bytes.count > length else { return nil }
    for (index, byte) in bytes.prefix(length).enumerated() {
      let lowercase = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
      guard lowercase == scheme.utf8Start[index] else { return nil }
    }
    let rest = bytes.dropFirst(length)
    let parameter = rest.drop { $0 == UInt8(ascii: " ") }
    guard !parameter.isEmpty, parameter.startIndex > rest.startIndex else { return nil }
    return parameter
  }
}
