/// A dictionary that never holds more than `capacity` entries: when its young half is full, the old half is
/// dropped at once and the young one becomes the old. Every operation is O(1), and what is used stays.
public struct GenerationalCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private var young: [Key: Value] = [:]
  private var old: [Key: Value] = [:]
  private let half: Int

  /// - Parameter capacity: at least 2.
  public init(capacity: Int) { half = max(1, capacity / 2) }

  public var count: Int { young.count + old.count }

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
  public mutating func removeAll(where condition: (Key, Value) -> Bool) {
    young = young.filter { !condition($0.key, $0.value) }
    old = old.filter { !condition($0.key, $0.value) }
  }

  private mutating func insert(_ value: Value, for key: Key) {
    if young.count >= half, young[key] == nil {
      old = young
      young = [:]
    }
    young[key] = value
  }
}
