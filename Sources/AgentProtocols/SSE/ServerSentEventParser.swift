import CASACore

/// Reads an event stream (WHATWG HTML section 9.2.6) as it arrives, wherever its bytes are split.
public struct ServerSentEventParser: Sendable {
  private let maximumEventBytes: Int
  private var line: [UInt8] = []
  private var data: [UInt8]?
  private var name = ""
  private var id: String?
  private var size = 0
  private var afterCarriageReturn = false
  private var isFirstLine = true

  /// - Parameter maximumEventBytes: a larger event is refused, not truncated.
  public init(maximumEventBytes: Int = 1 << 20) { self.maximumEventBytes = maximumEventBytes }

  /// The events that end within `bytes`.
  /// - Throws: `ProtocolViolation` for an event that is too large or not UTF-8.
  public mutating func feed(_ bytes: some Sequence<UInt8>) throws(ProtocolViolation) -> [ServerSentEvent] {
    var events: [ServerSentEvent] = []
    for byte in bytes {
      if afterCarriageReturn {
        afterCarriageReturn = false
        if byte == 0x0A { continue }
      }
      switch byte {
      case 0x0D, 0x0A:
        afterCarriageReturn = byte == 0x0D
        if let event = try endLine() { events.append(event) }
      default:
        line.append(byte)
        size += 1
        guard size <= maximumEventBytes else {
          throw ProtocolViolation(.bodyTooLarge, "an event is larger than \(maximumEventBytes) bytes")
        }
      }
    }
    return events
  }

  private mutating func endLine() throws(ProtocolViolation) -> ServerSentEvent? {
    var bytes = line[...]
    if isFirstLine, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
    isFirstLine = false
    defer { line.removeAll(keepingCapacity: true) }
    if bytes.isEmpty { return dispatch() }
    guard bytes.first != UInt8(ascii: ":") else { return nil }
    let colon = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
    var value = bytes[colon...].dropFirst()
    if value.first == 0x20 { value = value.dropFirst() }
    let field = bytes[..<colon]
    guard String(validating: field, as: UTF8.self) != nil, let text = String(validating: value, as: UTF8.self) else {
      throw ProtocolViolation(.malformedRequest, "the event stream is not UTF-8")
    }
    // By bytes: as strings, a name of nothing but combining marks would hold a core for minutes (`CombiningMarks`).
    if field.elementsEqual("data".utf8) {
      if data != nil { data?.append(0x0A) } else { data = [] }
      data?.append(contentsOf: value)
    } else if field.elementsEqual("event".utf8) {
      name = text
    } else if field.elementsEqual("id".utf8), !value.contains(0) {
      id = text
    }
    return nil
  }

  private mutating func dispatch() -> ServerSentEvent? {
    defer {
      data = nil
      name = ""
      size = 0
    }
    guard let data else { return nil }
    return ServerSentEvent(
      name: name.isEmpty ? "message" : name, data: String(decoding: data, as: UTF8.self), id: id)
  }
}
