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

  /// The event as it stands in a stream, in lines that every reader divides alike.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    if name != "message" { bytes += "event: \(name)\n".utf8 }
    if let id { bytes += "id: \(id)\n".utf8 }
    // By bytes: Swift's own characters hide a line feed behind a carriage return.
    for line in data.utf8.split(separator: 0x0A, omittingEmptySubsequences: false) {
      bytes += "data: ".utf8
      bytes += line
      bytes.append(0x0A)
    }
    bytes.append(0x0A)
    return bytes
  }
}
