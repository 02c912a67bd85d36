import CASACore
import Testing

@Suite("A generational cache")
struct GenerationalCacheTests {
  @Test("never holds more than its capacity", arguments: [2, 3, 10, 101])
  func bound(capacity: Int) {
    var cache = GenerationalCache<Int, Int>(capacity: capacity)
    for key in 0..<1000 {
      cache[key] = key
      // Reads move entries, which must not make more of them.
      _ = cache[key / 2]
      #expect(cache.count <= capacity)
      #expect(cache[key] == key)
    }
  }

  @Test("gives back what was put in, the newest value of a key")
  func values() {
    var cache = GenerationalCache<String, Int>(capacity: 10)
    cache["a"] = 1
    cache["a"] = 2
    #expect(cache["a"] == 2)
    #expect(cache["b"] == nil)
    #expect(cache.count == 1)
    cache["a"] = nil
    #expect(cache["a"] == nil)
    #expect(cache.count == 0)
  }

  @Test("keeps what is used and drops what is not")
  func use() {
    var cache = GenerationalCache<Int, Int>(capacity: 10)
    cache[-1] = 0
    cache[-2] = 0
    for key in 0..<100 {
      cache[key] = key
      #expect(cache[-1] == 0)
    }
    #expect(cache[-2] == nil)
    #expect(cache[0] == nil)
  }

  @Test("forgets a key of either half")
  func removal() {
    var cache = GenerationalCache<Int, Int>(capacity: 4)
    for key in 0..<3 { cache[key] = key }
    cache[0] = nil
    #expect(cache[0] == nil)
    cache[2] = nil
    #expect(cache[2] == nil)
    #expect(cache[1] == 1)
    #expect(cache.count == 1)
  }

  @Test("never yields an old value after a new one")
  func replacement() {
    var cache = GenerationalCache<Int, Int>(capacity: 4)
    for key in 0..<3 { cache[key] = 0 }
    cache[0] = 1  // from the old half
    for key in 3..<4 { cache[key] = 0 }
    #expect(cache[0] == nil || cache[0] == 1)
    #expect(cache.count <= 4)
  }

  @Test("removes what a condition names")
  func removeAll() {
    var cache = GenerationalCache<Int, Int>(capacity: 10)
    for key in 0..<8 { cache[key] = key }
    cache.removeAll { key, _ in key % 2 == 0 }
    for key in 0..<8 where key % 2 == 0 { #expect(cache[key] == nil) }
    #expect(cache[7] == 7)
  }
}

@Suite("A serial queue")
struct SerialQueueTests {
  private actor Log {
    var entries: [Int] = []
    var running = 0
    var mostRunning = 0
    func begin(_ entry: Int) {
      entries.append(entry)
      running += 1
      mostRunning = max(mostRunning, running)
    }
    func end() { running -= 1 }
  }

  @Test("runs one operation at a time, though each awaits")
  func oneAtATime() async {
    let queue = SerialQueue()
    let log = Log()
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<50 {
        group.addTask {
          await queue.run {
            await log.begin(index)
            for _ in 0..<5 { await Task.yield() }
            await log.end()
          }
        }
      }
    }
    #expect(await log.mostRunning == 1)
    #expect(await log.entries.sorted() == Array(0..<50))
  }

  @Test("hands on results and errors, and goes on after an error")
  func results() async throws {
    let queue = SerialQueue()
    await #expect(throws: RefusalReason.overloaded) {
      try await queue.run { () async throws(RefusalReason) in throw .overloaded }
    }
    #expect(await queue.run { 7 } == 7)
  }

  @Test("runs operations in the order they asked")
  func order() async {
    let queue = SerialQueue()
    let log = Log()
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let (running, run) = AsyncStream.makeStream(of: Void.self)
    let first = Task {
      await queue.run {
        run.yield()
        for await _ in gate { break }
      }
    }
    for await _ in running { break }
    var others: [Task<Void, Never>] = []
    for index in 0..<20 {
      let (asked, ask) = AsyncStream.makeStream(of: Void.self)
      others.append(Task { await askInTurn(queue, log, index, ask) })
      for await _ in asked { break }
    }
    open.yield()
    await first.value
    for task in others { await task.value }
    #expect(await log.entries == Array(0..<20))
  }

  /// Says that it is about to ask on the queue's own executor, so that the next one can only come after it.
  private func askInTurn(_ queue: isolated SerialQueue, _ log: Log, _ index: Int, _ ask: AsyncStream<Void>.Continuation)
    async
  {
    ask.yield()
    await queue.run {
      await log.begin(index)
      await log.end()
    }
  }
}
