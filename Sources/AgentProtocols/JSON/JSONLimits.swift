/// How much JSON a reader takes in before it refuses.
public struct JSONLimits: Sendable, Hashable {
  /// The length of the text in bytes.
  public var maximumBytes: Int
  /// How deep arrays and objects may nest; a scalar has depth 0.
  public var maximumDepth: Int
  /// How many values there may be in all.
  public var maximumNodes: Int

  /// Takes each limit as it is; 0 refuses everything that it limits.
  public init(maximumBytes: Int, maximumDepth: Int, maximumNodes: Int) {
    self.maximumBytes = maximumBytes
    self.maximumDepth = maximumDepth
    self.maximumNodes = maximumNodes
  }

  /// For one message of a protocol: 1 MiB, 64 levels, 100,000 values.
  public static let message = JSONLimits(maximumBytes: 1 << 20, maximumDepth: 64, maximumNodes: 100_000)
}
