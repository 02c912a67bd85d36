import CASACore
import Enforcement

/// A request as a proxy tells the plain endpoint of it: every header field as `<name bytes>,<value bytes>:<name><value>`
/// with decimal lengths, then `;`, then the body to the end. `:method`, `:path` and `:authority` are among the fields.
struct EnvelopeReader: Sendable {
  private(set) var fields: [RawField] = []
  let body: ArraySlice<UInt8>

  private static let maximumFields = 1000
  private static let maximumFieldBytes = 1 << 20

  struct Malformed: Error, Sendable, Hashable { let offset: Int }

  /// - Throws: `Malformed` for lengths that are none, have a zero in front or reach beyond the end, and for more than
  ///   1,000 fields.
  init(parsing bytes: [UInt8]) throws(Malformed) {
    var position = 0
    func length(endedBy delimiter: Character) throws(Malformed) -> Int {
      var value = 0
      let start = position
      while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
        guard position == start || value > 0 else { throw Malformed(offset: position) }
        value = value * 10 + Int(bytes[position] - 0x30)
        guard value <= Self.maximumFieldBytes else { throw Malformed(offset: position) }
        position += 1
      }
      guard position > start, position < bytes.count, bytes[position] == delimiter.asciiValue else {
        throw Malformed(offset: position)
      }
      position += 1
      return value
    }
    while true {
      guard position < bytes.count else { throw Malformed(offset: position) }
      if bytes[position] == UInt8(ascii: ";") { break }
      let name = try length(endedBy: ",")
      let value = try length(endedBy: ":")
      guard fields.count < Self.maximumFields, bytes.count - position >= name + value else {
        throw Malformed(offset: position)
      }
      fields.append(
        RawField(name: bytes[position..<position + name], value: bytes[position + name..<position + name + value]))
      position += name + value
    }
    body = bytes[(position + 1)...]
  }

  /// The one value of a pseudo-field; nil when it is missing or there twice.
  func pseudo(_ name: String) -> ArraySlice<UInt8>? {
    var found: ArraySlice<UInt8>?
    for field in fields where field.name.elementsEqual(name.utf8) {
      guard found == nil else { return nil }
      found = field.value
    }
    return found
  }
}

extension InterceptedRequest {
  /// - Throws: `Refusal` when a pseudo-field is missing or there twice, or as for what Envoy says of a request.
  init(_ envelope: EnvelopeReader) throws(Refusal) {
    guard let method = envelope.pseudo(":method"), let path = envelope.pseudo(":path"),
      let host = envelope.pseudo(":authority")
    else { throw Refusal(.malformedRequest, "the proxy must send :method, :path and :authority, each once") }
    try self.init(method: method, target: path, host: host, fields: envelope.fields, body: Array(envelope.body))
  }
}
