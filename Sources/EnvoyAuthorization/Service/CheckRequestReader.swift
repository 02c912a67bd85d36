import Enforcement

/// What is used of Envoy's `CheckRequest`, read strictly from its bytes.
///
/// By hand, since the generated reader makes a copy of every string and a dictionary of every map. Fields that are not
/// known are skipped, as the format wants; a field that may be there once and is there twice is refused, and so is one
/// of another type.
struct CheckRequestReader: Sendable {
  /// `context_extensions` of the listener.
  private(set) var listener: String?
  private(set) var direction: String?
  private(set) var method: ArraySlice<UInt8>
  private(set) var target: ArraySlice<UInt8>
  private(set) var host: ArraySlice<UInt8>
  /// `header_map`: the fields as they were sent. Pseudo-fields are among them.
  private(set) var fields: [RawField] = []
  private(set) var body: ArraySlice<UInt8>
  /// The value of `x-envoy-auth-partial-body` in the map form of the header fields.
  private(set) var partialBody: ArraySlice<UInt8>?

  private static let maximumFields = 1000

  private let bytes: [UInt8]

  /// - Throws: `ProtobufError`
  init(parsing bytes: [UInt8]) throws(ProtobufError) {
    self.bytes = bytes
    method = bytes[0..<0]
    target = method
    host = method
    body = method
    guard let attributes = try only(1, in: bytes.indices) else { throw ProtobufError("`attributes` is missing") }
    var request: Range<Int>?
    var extensions = 0
    var reader = ProtobufReader(bytes, in: attributes)
    while let (field, value) = try reader.next() {
      switch field {
      case 4: try Self.once(&request, value)
      case 10:
        extensions += 1
        guard extensions <= Self.maximumFields else { throw ProtobufError("too many `context_extensions`") }
        try readExtension(value.range())
      default: break
      }
    }
    guard let request, let http = try only(2, in: request) else { throw ProtobufError("`request.http` is missing") }
    try readHTTP(http)
  }

  private mutating func readExtension(_ range: Range<Int>) throws(ProtobufError) {
    let (key, value) = try entry(range)
    func take(_ known: inout String?) throws(ProtobufError) {
      guard known == nil, let text = String(validating: value, as: UTF8.self) else {
        throw ProtobufError("a context extension is there twice, or is no text")
      }
      known = text
    }
    if key.elementsEqual("casa.listener".utf8) {
      try take(&listener)
    } else if key.elementsEqual("casa.direction".utf8) {
      try take(&direction)
    }
  }

  private mutating func readHTTP(_ range: Range<Int>) throws(ProtobufError) {
    var found: (method: Range<Int>?, path: Range<Int>?, host: Range<Int>?, text: Range<Int>?, raw: Range<Int>?)
    var headerMap: Range<Int>?
    var reader = ProtobufReader(bytes, in: range)
    while let (field, value) = try reader.next() {
      switch field {
      case 2: try Self.once(&found.method, value)
      case 3:
        let (key, value) = try entry(value.range())
        guard key.elementsEqual(EnvoyField.partialBody.utf8) else { break }
        guard partialBody == nil else { throw ProtobufError("a header is in the map twice") }
        partialBody = value
      case 4: try Self.once(&found.path, value)
      case 5: try Self.once(&found.host, value)
      case 11: try Self.once(&found.text, value)
      case 12: try Self.once(&found.raw, value)
      case 13: try Self.once(&headerMap, value)
      default: break
      }
    }
    guard found.text?.isEmpty ?? true || found.raw?.isEmpty ?? true else {
      throw ProtobufError("`body` and `raw_body` are both there")
    }
    func slice(_ range: Range<Int>?) -> ArraySlice<UInt8> { bytes[range ?? 0..<0] }
    method = slice(found.method)
    target = slice(found.path)
    host = slice(found.host)
    body = slice(found.raw?.isEmpty ?? true ? found.text : found.raw)
    if let headerMap { try readFields(headerMap) }
  }

  private mutating func readFields(_ range: Range<Int>) throws(ProtobufError) {
    fields.reserveCapacity(24)
    var reader = ProtobufReader(bytes, in: range)
    while let (field, value) = try reader.next() {
      guard field == 1 else { continue }
      guard fields.count < Self.maximumFields else { throw ProtobufError("too many header fields") }
      var found: (key: Range<Int>?, text: Range<Int>?, raw: Range<Int>?)
      var header = ProtobufReader(bytes, in: try value.range())
      while let (field, value) = try header.next() {
        switch field {
        case 1: try Self.once(&found.key, value)
        case 2: try Self.once(&found.text, value)
        case 3: try Self.once(&found.raw, value)
        default: break
        }
      }
      guard found.text?.isEmpty ?? true || found.raw?.isEmpty ?? true else {
        throw ProtobufError("a header has two values")
      }
      let text = found.raw?.isEmpty ?? true ? found.text : found.raw
      fields.append(RawField(name: bytes[found.key ?? 0..<0], value: bytes[text ?? 0..<0]))
    }
  }

  // MARK: Parts

  private static func once(_ known: inout Range<Int>?, _ value: ProtobufReader.Value) throws(ProtobufError) {
    guard known == nil else { throw ProtobufError("a field is there twice") }
    known = try value.range()
  }

  /// The one field `number` of a message.
  private func only(_ number: UInt64, in range: Range<Int>) throws(ProtobufError) -> Range<Int>? {
    var found: Range<Int>?
    var reader = ProtobufReader(bytes, in: range)
    while let (field, value) = try reader.next() {
      if field == number { try Self.once(&found, value) }
    }
    return found
  }

  /// An entry of a map.
  private func entry(_ range: Range<Int>) throws(ProtobufError) -> (key: ArraySlice<UInt8>, value: ArraySlice<UInt8>) {
    var found: (key: Range<Int>?, value: Range<Int>?)
    var reader = ProtobufReader(bytes, in: range)
    while let (field, value) = try reader.next() {
      switch field {
      case 1: try Self.once(&found.key, value)
      case 2: try Self.once(&found.value, value)
      default: break
      }
    }
    return (bytes[found.key ?? 0..<0], bytes[found.value ?? 0..<0])
  }
}
