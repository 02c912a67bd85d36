/// One event of an event stream.
public struct ServerSentEvent: Sendable, Hashable {
  /// `message` unless the stream says otherwise.
  public var name: String
  public var data: String
  public var id: String?
}
