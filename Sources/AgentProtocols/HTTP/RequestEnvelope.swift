import CASACore

/// An intercepted HTTP request as an adapter in the proxy sends it to the authorization service: the body of
/// `POST /casa/check`.
///
/// Each field is `<name length>,<value length>:<name><value>` with decimal lengths in bytes; a `;` follows the last
/// one, and all that follows it is the request's body. Lengths instead of separators, so that no byte of a value
/// can be taken for the end of it.
public struct RequestEnvelope: Sendable, Hashable {
  /// A header field or one of the pseudo fields `:method`, `:path` and `:authority`.
  public struct Field: Sendable, Hashable {
    /// As it was sent, in UTF-8.
    public let name: [UInt8]
    /// As it was sent; need not be UTF-8.
    public let value: [UInt8]

    public init(name: [UInt8], value: [UInt8]) {
      self.name = name
      self.value = value
    }

    public init(_ name: String, _ value: String) { self.init(name: Array(name.utf8), value: Array(value.utf8)) }
  }

  public static let mediaType = "application/vnd.casa.request"
  public static let maximumFields = 200
  /// Of one name, in bytes.
  public static let maximumNameBytes = 256
  /// Of all fields with their lengths, in bytes, without the `;`.
  public static let maximumHeadBytes = 64 << 10
  public static let maximumBodyBytes = 1 << 20
  /// No envelope is longer.
  public static let maximumBytes = maximumHeadBytes + 1 + maximumBodyBytes

  /// In the order in which they were sent; a field that was sent twice stands here twice.
  public let fields: [Field]
  public let body: [UInt8]

  /// - Throws: `ProtocolViolation` for what no reader of an envelope would accept.
  public init(fields: [Field], body: [UInt8]) throws(ProtocolViolation) {
    var head = 0
    for field in fields {
      try Self.check(name: field.name)
      try Self.check(value: field.value)
      head += 2 + field.name.count + field.value.count
      head += String(field.name.count).utf8.count + String(field.value.count).utf8.count
    }
    guard fields.count <= Self.maximumFields, head <= Self.maximumHeadBytes else { throw Self.headTooLarge }
    guard body.count <= Self.maximumBodyBytes else { throw Self.bodyTooLarge }
    self.fields = fields
    self.body = body
  }

  /// Reads an envelope.
  /// - Throws: `ProtocolViolation` unless `bytes` are exactly what `bytes` of the result gives.
  public init(parsing bytes: some Collection<UInt8>) throws(ProtocolViolation) {
    guard bytes.count <= Self.maximumBytes else { throw Self.bodyTooLarge }
    let bytes = Array(bytes)
    var fields: [Field] = []
    var position = 0
    while true {
      guard position < bytes.count else { throw Self.malformed("the fields do not end with `;`") }
      if bytes[position] == UInt8(ascii: ";") { break }
      guard fields.count < Self.maximumFields else { throw Self.headTooLarge }
      let nameLength = try Self.length(in: bytes, at: &position, end: UInt8(ascii: ","))
      let valueLength = try Self.length(in: bytes, at: &position, end: UInt8(ascii: ":"))
      let nameEnd = position + nameLength
      let valueEnd = nameEnd + valueLength
      guard valueEnd <= Self.maximumHeadBytes else { throw Self.headTooLarge }
      guard valueEnd <= bytes.count else { throw Self.malformed("a field is longer than the envelope") }
      let field = Field(name: Array(bytes[position..<nameEnd]), value: Array(bytes[nameEnd..<valueEnd]))
      try Self.check(name: field.name)
      try Self.check(value: field.value)
      fields.append(field)
      position = valueEnd
    }
    guard bytes.count - position - 1 <= Self.maximumBodyBytes else { throw Self.bodyTooLarge }
    self.fields = fields
    body = Array(bytes[(position + 1)...])
  }

  /// The one encoding of this envelope.
  public var bytes: [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(fields.reduce(body.count + 1) { $0 + $1.name.count + $1.value.count + 12 })
    for field in fields {
      output += "\(field.name.count),\(field.value.count):".utf8
      output += field.name
      output += field.value
    }
    output.append(UInt8(ascii: ";"))
    output += body
    return output
  }

  /// A decimal number of at most five digits without leading zeros, and the byte that ends it.
  private static func length(
    in bytes: [UInt8], at position: inout Int, end: UInt8
  ) throws(ProtocolViolation) -> Int {
    let start = position
    var length = 0
    while position < bytes.count, position - start < 6, (0x30...0x39).contains(bytes[position]) {
      length = length * 10 + Int(bytes[position] - 0x30)
      position += 1
    }
    let count = position - start
    guard (1...5).contains(count), count == 1 || bytes[start] != 0x30, position < bytes.count, bytes[position] == end
    else { throw malformed("a field must begin with `<name length>,<value length>:` in decimal") }
    position += 1
    return length
  }

  /// A token (RFC 9110 section 5.6.2), with a colon before it for a pseudo field.
  private static func check(name: [UInt8]) throws(ProtocolViolation) {
    guard name.count <= maximumNameBytes else { throw headTooLarge }
    let token = name.first == UInt8(ascii: ":") ? name.dropFirst() : name[...]
    guard !token.isEmpty, token.allSatisfy(isTokenByte) else { throw malformed("a field's name is not a token") }
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  private static func check(value: [UInt8]) throws(ProtocolViolation) {
    guard value.allSatisfy({ $0 != 0 && $0 != 0x0A && $0 != 0x0D }) else {
      throw malformed("a field's value holds a line end or U+0000")
    }
  }

  private static func malformed(_ detail: String) -> ProtocolViolation { ProtocolViolation(.malformedRequest, detail) }
  private static let headTooLarge = ProtocolViolation(
    .bodyTooLarge,
    "the request has more than \(maximumFields) header fields or \(maximumHeadBytes) bytes of them, or too long a name")
  private static let bodyTooLarge = ProtocolViolation(
    .bodyTooLarge, "the request's body is larger than \(maximumBodyBytes) bytes")
}
