/// A dictionary that never holds more than `capacity` entries: when its young half is full, the old half is
/// dropped at once and the young one becomes the old. Every operation is O(1), and what is used stays.
///
/// Inlinable, so that other modules get it made for their own keys and values.
public struct GenerationalCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  @usableFromInline var young: [Key: Value] = [:]
  @usableFromInline var old: [Key: Value] = [:]
  @usableFromInline let half: Int

  /// - Parameter capacity: at least 2.
  @inlinable
  public init(capacity: Int) { half = max(1, capacity / 2) }

  @inlinable
  public var count: Int { young.count + old.count }

  @inlinable
  public subscript(key: Key) -> Value? {
    mutating get {
      if let value = young[key] { return value }
      guard let value = old.removeValue(forKey: key) else { return nil }
      insert(value, for: key)
      return value
    }
    set {
      old[key] = nil
      guard let newValue else {
        young[key] = nil
        return
      }
      insert(newValue, for: key)
    }
  }

  /// Removes every entry for which `condition` holds. O(n).
  @inlinable
  public mutating func removeAll(where condition: (Key, Value) -> Bool) {
    young = young.filter { !condition($0.key, $0.value) }
    old = old.filter { !condition($0.key, $0.value) }
  }

  @inlinable
  mutating func insert(_ value: Value, for key: Key) {
    if young.count >= half, young[key] == nil {
      old = young
      young = [:]
    }
    young[key] = value
  }
}
