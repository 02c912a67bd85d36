import CASACore

/// One event of an event stream.
public struct ServerSentEvent: Sendable, Hashable {
  /// `message` unless the stream says otherwise.
  public var name: String
  public var data: String
  public var id: String?

  public init(name: String = "message", data: String, id: String? = nil) {
    self.name = name
    self.data = data
    self.id = id
  }

  /// The event as it stands in a stream, in lines that every reader divides alike. Its data must be JSON, or nothing.
  ///
  /// Some readers (httpx-sse up to 0.4.1) end a line at U+0085, U+2028, U+2029 and control characters too, so that the
  /// rest of a value would be a field of its own to them.
  /// - Throws: `ProtocolViolation` for a name or an id that readers could divide otherwise.
  func lines() throws(ProtocolViolation) -> [UInt8] {
    guard name.utf8.allSatisfy(Self.isPrintable), id?.utf8.allSatisfy(Self.isPrintable) ?? true else {
      throw ProtocolViolation(.malformedRequest, "the `event` and the `id` of an event must be printable ASCII")
    }
    var lines: [UInt8] = []
    if !haveSameBytes(name, "message") { lines += "event: \(name)\n".utf8 }
    if let id { lines += "id: \(id)\n".utf8 }
    return lines + Self.lines(ofJSON: data)
  }

  /// An event that holds this JSON and has no name or id.
  static func lines(ofJSON text: String) -> [UInt8] {
    // By bytes: Swift's own characters hide a line feed behind a carriage return.
    let json = Array(text.utf8)
    var lines = Array("data: ".utf8)
    var start = 0
    for (index, byte) in json.enumerated() where byte == 0x0A || byte == 0xC2 || byte == 0xE2 {
      let second = index + 1 < json.count ? json[index + 1] : 0
      let third = index + 2 < json.count ? json[index + 2] : 0
      let end: Int
      let written: String
      switch (byte, second, third) {
      case (0x0A, _, _): (end, written) = (index + 1, "\ndata: ")
      // They stand within strings only, where an escape means the same.
      case (0xC2, 0x85, _): (end, written) = (index + 2, "\\u0085")
      case (0xE2, 0x80, 0xA8): (end, written) = (index + 3, "\\u2028")
      case (0xE2, 0x80, 0xA9): (end, written) = (index + 3, "\\u2029")
      default: continue
      }
      lines += json[start..<index]
      lines += written.utf8
      start = end
    }
    lines += json[start...]
    lines += "\n\n".utf8
    return lines
  }

  private static func isPrintable(_ byte: UInt8) -> Bool { (0x20...0x7E).contains(byte) }
}
