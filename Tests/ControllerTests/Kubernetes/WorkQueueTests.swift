import Synchronization
import Testing

@testable import Controller

@Suite("Keys to be worked on", .timeLimit(.minutes(1)))
struct WorkQueueTests {
  @Test(
    "a key is worked on by one at a time, after each time it was added, and not before it is due", arguments: 0..<40)
  func properties(_ seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var state = WorkQueueState<Int>()
    var now = ContinuousClock.now
    var working: Set<Int> = []
    /// Keys that were added and not begun since.
    var wanted: Set<Int> = []
    /// The earliest moment each of the other keys may begin.
    var allowed: [Int: ContinuousClock.Instant] = [:]
    for _ in 0..<2_000 {
      let key = Int.random(in: 0..<12, using: &random)
      switch Int.random(in: 0..<7, using: &random) {
      case 0:
        state.add(key)
        wanted.insert(key)
      case 1:
        let due = now + .milliseconds(Int64.random(in: 0...50, using: &random))
        state.add(key, at: due)
        allowed[key] = min(allowed[key] ?? due, due)
      case 2, 3:
        guard working.count < 4, let taken = state.take(at: now) else { break }
        #expect(!working.contains(taken))
        #expect(wanted.contains(taken) || (allowed[taken].map { $0 <= now } ?? false))
        working.insert(taken)
        wanted.remove(taken)
        allowed[taken] = nil
      case 4:
        guard let done = working.randomElement(using: &random) else { break }
        working.remove(done)
        state.succeed(done)
      case 5:
        guard let done = working.randomElement(using: &random) else { break }
        working.remove(done)
        state.fail(done, at: now) { .milliseconds(10 * $0) }
        allowed[done] = min(allowed[done] ?? now + .milliseconds(10), now + .milliseconds(10))
      default: now += .milliseconds(Int64.random(in: 0...20, using: &random))
      }
      #expect(state.workingCount == working.count)
    }
    // In the end everything that was wanted is done.
    for key in working { state.succeed(key) }
    now += .seconds(3600)
    while let key = state.take(at: now) {
      wanted.remove(key)
      allowed[key] = nil
      state.succeed(key)
    }
    #expect(wanted.isEmpty)
    #expect(allowed.isEmpty)
    #expect(state.isEmpty)
    #expect(state.nextDue() == nil)
  }

  @Test("what comes while it is worked on is worked on once more")
  func again() {
    var state = WorkQueueState<String>()
    let now = ContinuousClock.now
    state.add("a")
    state.add("a")
    #expect(state.take(at: now) == "a")
    #expect(state.take(at: now) == nil)
    state.add("a")
    state.add("a")
    #expect(state.take(at: now) == nil)
    state.succeed("a")
    #expect(state.take(at: now) == "a")
    state.succeed("a")
    #expect(state.take(at: now) == nil)
  }

  @Test("failures are counted until it succeeds")
  func failures() {
    var state = WorkQueueState<String>()
    let now = ContinuousClock.now
    var counts: [Int] = []
    func fail(_ state: inout WorkQueueState<String>) {
      state.add("a")
      #expect(state.take(at: now) == "a")
      state.fail("a", at: now) {
        counts.append($0)
        return .seconds($0)
      }
    }
    fail(&state)
    fail(&state)
    #expect(state.nextDue() == now + .seconds(2))
    #expect(state.take(at: now + .seconds(1)) == nil)
    #expect(state.take(at: now + .seconds(2)) == "a")
    state.succeed("a")
    fail(&state)
    #expect(counts == [1, 2, 1])
  }

  @Test("works on many keys at once, but not on one, and again after failures")
  func run() async {
    let queue = WorkQueue<Int>(backoff: Backoff(shortest: .milliseconds(1), longest: .milliseconds(4)))
    let seen = Mutex((active: Set<Int>(), most: 0, tries: [Int: Int]()))
    let task = Task {
      await queue.run(concurrency: 4) { key in
        seen.withLock {
          #expect($0.active.insert(key).inserted)
          $0.most = max($0.most, $0.active.count)
          $0.tries[key, default: 0] += 1
        }
        await Task.yield()
        try? await Task.sleep(for: .milliseconds(1))
        seen.withLock { _ = $0.active.remove(key) }
        struct Failure: Error {}
        if key % 3 == 0, seen.withLock({ $0.tries[key] ?? 0 }) < 3 { throw Failure() }
        return key == 1 && seen.withLock({ $0.tries[key] ?? 0 }) < 2 ? .milliseconds(2) : nil
      }
    }
    for key in 0..<60 { queue.add(key) }
    while !queue.isEmpty { await Task.yield() }
    task.cancel()
    await task.value
    seen.withLock {
      #expect($0.most <= 4)
      #expect($0.tries.count == 60)
      #expect($0.tries[3] == 3)
      #expect(($0.tries[1] ?? 0) == 2)
      #expect($0.tries[2] == 1)
    }
  }

  @Test("ends when it is cancelled, after what was begun")
  func cancelling() async {
    let queue = WorkQueue<Int>()
    let (begun, signal) = AsyncStream<Void>.makeStream()
    let isDone = Mutex(false)
    let task = Task {
      await queue.run(concurrency: 1) { _ in
        signal.yield()
        while !Task.isCancelled { await Task.yield() }
        isDone.withLock { $0 = true }
        return nil
      }
    }
    queue.add(1)
    for await _ in begun { break }
    task.cancel()
    await task.value
    #expect(isDone.withLock { $0 })
  }
}

/// The same numbers for the same seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
