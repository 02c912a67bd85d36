public import CASACore

/// What a signed-in reader may see.
public struct ReadAccess: Sendable, Hashable {
  public let name: String
  /// nil: all.
  public let systems: Set<MASID>?
  public let readsPrompts: Bool

  public init(name: String, systems: Set<MASID>?, readsPrompts: Bool) {
    self.name = name
    self.systems = systems
    self.readsPrompts = readsPrompts
  }
}
