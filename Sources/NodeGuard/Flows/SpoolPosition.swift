/// Where in the kernel's events a report comes from, so that a reader that starts again can leave out what is spooled.
public struct SpoolPosition: Sendable, Hashable {
  /// Names the ring buffer: positions of different ones have nothing to do with each other.
  public let source: UInt64
  /// Grows with each event of the same source.
  public let offset: UInt64

  public init(source: UInt64, offset: UInt64) {
    self.source = source
    self.offset = offset
  }
}
