/// Which keys are to be worked on, and when.
///
/// Each key is in one place: ready, waiting for its time, or being worked on. One that comes while it is worked on is
/// ready again afterwards.
struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
  typealias Instant = ContinuousClock.Instant

  private var ready = ReadyKeys<Key>()
  private var isReady: Set<Key> = []
  private var due: [Key: Instant] = [:]
  private var dueOrder = DueOrder<Key>()
  /// Of each key that is worked on, whether it came again.
  private var working: [Key: Bool] = [:]
  private var failures: [Key: Int] = [:]

  /// How many are ready or waiting.
  var waitingCount: Int { isReady.count + due.count }
  var workingCount: Int { working.count }
  var isEmpty: Bool { waitingCount == 0 && workingCount == 0 }

  /// To be worked on as soon as possible.
  mutating func add(_ key: Key) {
    if working[key] != nil {
      working[key] = true
    } else if isReady.insert(key).inserted {
      due[key] = nil
      ready.append(key)
    }
  }

  /// To be worked on at `moment`, or earlier if it was to be anyway.
  mutating func add(_ key: Key, at moment: Instant) {
    guard !isReady.contains(key), due[key].map({ moment < $0 }) ?? true else { return }
    due[key] = moment
    dueOrder.insert(key, at: moment)
  }

  /// What to work on now; nil when there is nothing.
  mutating func take(at now: Instant) -> Key? {
    while let (key, moment) = dueOrder.first, moment <= now {
      dueOrder.removeFirst()
      guard due[key] == moment else { continue }
      due[key] = nil
      add(key)
    }
    guard let key = ready.popFirst() else { return nil }
    isReady.remove(key)
    working[key] = false
    return key
  }

  /// When there is something to take although nothing is added.
  mutating func nextDue() -> Instant? {
    while let (key, moment) = dueOrder.first {
      if due[key] == moment { return moment }
      dueOrder.removeFirst()
    }
    return nil
  }

  mutating func succeed(_ key: Key) {
    failures[key] = nil
    finish(key)
  }

  /// - Parameter pause: how long to wait after so many failures in a row.
  mutating func fail(_ key: Key, at now: Instant, pause: (_ failures: Int) -> Duration) {
    let count = (failures[key] ?? 0) + 1
    failures[key] = count
    if !finish(key) { add(key, at: now + pause(count)) }
  }

  /// - Returns: whether it is ready again.
  @discardableResult
  private mutating func finish(_ key: Key) -> Bool {
    guard working.removeValue(forKey: key) == true else { return false }
    add(key)
    return true
  }
}

/// First in, first out.
private struct ReadyKeys<Key: Sendable>: Sendable {
  private var keys: [Key] = []
  private var start = 0

  mutating func append(_ key: Key) { keys.append(key) }

  mutating func popFirst() -> Key? {
    guard start < keys.count else { return nil }
    defer {
      start += 1
      if start * 2 > keys.count, start > 32 || start == keys.count {
        keys.removeFirst(start)
        start = 0
      }
    }
    return keys[start]
  }
}

/// A heap; what was put off or came earlier stays in it until it is first.
private struct DueOrder<Key: Sendable>: Sendable {
  private var heap: [(key: Key, moment: ContinuousClock.Instant)] = []

  var first: (key: Key, moment: ContinuousClock.Instant)? { heap.first }

  mutating func insert(_ key: Key, at moment: ContinuousClock.Instant) {
    heap.append((key, moment))
    var child = heap.count - 1
    while child > 0, heap[child].moment < heap[(child - 1) / 2].moment {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() {
    guard let last = heap.popLast(), !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].moment < heap[least].moment {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
