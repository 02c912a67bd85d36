public import CASACore

/// What somebody may read of the traces.
public struct ReadAccess: Sendable, Hashable {
  /// Who, for people.
  public let name: String
  /// The systems whose traces are open; nil for all, and for what belongs to no system.
  public let systems: Set<MASID>?
  /// Whether what users asked for is shown, and can be searched.
  public let readsPrompts: Bool

  public init(name: String, systems: Set<MASID>?, readsPrompts: Bool) {
    self.name = name
    self.systems = systems
    self.readsPrompts = readsPrompts
  }

  /// Whether what belongs to `system` is open; what belongs to none is only open to whoever may read all.
  public func includes(_ system: MASID?) -> Bool {
    guard let systems else { return true }
    return system.map(systems.contains) ?? false
  }
}
