import CASACore
import Testing

@testable import Controller

@Suite("Who leads")
struct LeadershipTests {
  /// A Lease and candidates, each with a clock that begins anywhere and runs fast or slow, and a network on which
  /// questions and answers take their time or are lost.
  private struct Simulation {
    enum Action {
      case begin(Int)
      case read(Int)
      case answer(Int, LeaseRecord?)
      case write(Int, LeaseRecord, isNew: Bool, asked: ContinuousClock.Instant)
      case written(Int, LeaseRecord, asked: ContinuousClock.Instant)
    }

    var random: SeededGenerator
    var candidates: [LeadershipCandidate]
    let rates: [Double]
    let offsets: [Double]
    let start = ContinuousClock.now
    var events: [(time: Double, action: Action)] = []
    var lease: LeaseRecord?
    var version = 0
    /// When two led at once.
    var overlaps: [Double] = []
    var terms = 0
    var ledFor = 0.0
    var last = 0.0
    /// Until when each candidate hears nothing.
    var silentUntil: [Double]

    init(seed: Int, drift: Double, candidates count: Int) {
      random = SeededGenerator(seed: UInt64(seed))
      candidates = (0..<count).map { LeadershipCandidate(identity: "c\($0)") }
      var rates: [Double] = []
      // The worst that is allowed is tried often.
      for _ in 0..<count {
        rates.append(
          Bool.random(using: &random)
            ? 1 + drift * (Bool.random(using: &random) ? 1 : -1)
            : .random(in: (1 - drift)...(1 + drift), using: &random))
      }
      self.rates = rates
      var offsets: [Double] = []
      for _ in 0..<count { offsets.append(.random(in: 0...1000, using: &random)) }
      self.offsets = offsets
      silentUntil = Array(repeating: 0, count: count)
      for index in 0..<count { events.append((Double(index), .begin(index))) }
    }

    func clock(_ index: Int, _ time: Double) -> ContinuousClock.Instant {
      start + .nanoseconds(Int64((offsets[index] + rates[index] * time) * 1e9))
    }

    mutating func later(_ time: Double, _ action: Action) { events.append((time, action)) }

    /// Mostly short, at times long; nil for lost.
    mutating func delay(_ index: Int, _ time: Double) -> Double? {
      if time < silentUntil[index] { return nil }
      switch Int.random(in: 0..<20, using: &random) {
      case 0: return nil
      case 1: return .random(in: 0...6, using: &random)
      default: return .random(in: 0...0.2, using: &random)
      }
    }

    mutating func run(until end: Double) {
      while let index = events.indices.min(by: { events[$0].time < events[$1].time }), events[index].time < end {
        let (time, action) = events.remove(at: index)
        let leaders = candidates.indices.filter { candidates[$0].leads(at: clock($0, time)) }
        if leaders.count > 1 { overlaps.append(time) }
        if leaders.count == 1 { ledFor += time - last }
        last = time
        step(time, action)
        let after = candidates.indices.filter { candidates[$0].leads(at: clock($0, time)) }
        if after.count > 1 { overlaps.append(time) }
        if after != leaders, !after.isEmpty { terms += 1 }
      }
    }

    mutating func step(_ time: Double, _ action: Action) {
      switch action {
      case .begin(let index):
        if Int.random(in: 0..<40, using: &random) == 0 {
          silentUntil[index] = time + .random(in: 0...40, using: &random)
        }
        later(time + 2 / rates[index] * .random(in: 0.8...1.2, using: &random), .begin(index))
        guard let way = delay(index, time) else { return }
        if let record = candidates[index].renewal(Timestamp(seconds: Int64(time))) {
          later(time + way, .write(index, record, isNew: false, asked: clock(index, time)))
        } else {
          later(time + way, .read(index))
        }
      case .read(let index):
        guard let way = delay(index, time) else { return }
        later(time + way, .answer(index, lease))
      case .answer(let index, let record):
        let now = clock(index, time)
        let decision = candidates[index].decide(record, at: now, Timestamp(seconds: Int64(time)))
        guard let way = delay(index, time) else { return }
        switch decision {
        case .wait: return
        case .create(let record): later(time + way, .write(index, record, isNew: true, asked: now))
        case .update(let record): later(time + way, .write(index, record, isNew: false, asked: now))
        }
      case .write(let index, var record, let isNew, let asked):
        guard isNew ? lease == nil : lease?.resourceVersion == record.resourceVersion else {
          // A conflict: look again.
          if let way = delay(index, time) { later(time + way, .read(index)) }
          return
        }
        version += 1
        record.resourceVersion = String(version)
        lease = record
        guard let way = delay(index, time) else { return }
        later(time + way, .written(index, record, asked: asked))
      case .written(let index, let record, let asked):
        candidates[index].wrote(record, asked: asked)
      }
    }
  }

  @Test("two never lead at once, though clocks run 20 % fast or slow and messages are late or lost", arguments: 0..<30)
  func neverTwo(_ seed: Int) {
    var simulation = Simulation(seed: seed, drift: 0.2, candidates: 2 + seed % 2)
    simulation.run(until: 800)
    #expect(simulation.overlaps.isEmpty)
    #expect(simulation.terms > 1)
    #expect(simulation.ledFor > 160)
  }

  private let now = ContinuousClock.now
  private let clock = Timestamp(seconds: 0)

  @Test("what another holds is waited for by one's own clock, from its last change")
  func waiting() {
    var candidate = LeadershipCandidate(identity: "a")
    var record = LeaseRecord(holder: "b", durationSeconds: 15, at: Timestamp(seconds: -100_000), transitions: 3)
    record.resourceVersion = "1"
    // However old it says it is.
    #expect(candidate.decide(record, at: now, clock) == .wait)
    #expect(candidate.decide(record, at: now + .seconds(14), clock) == .wait)
    record.resourceVersion = "2"
    #expect(candidate.decide(record, at: now + .seconds(14.5), clock) == .wait)
    #expect(candidate.decide(record, at: now + .seconds(29), clock) == .wait)
    guard case .update(let next) = candidate.decide(record, at: now + .seconds(29.5), clock) else {
      Issue.record("expected it to be taken over")
      return
    }
    #expect(next.holder == "a" && next.transitions == 4 && next.resourceVersion == "2")
    #expect(!candidate.leads(at: now + .seconds(29.5)))
  }

  @Test("who asked for more time gets it")
  func longer() {
    var candidate = LeadershipCandidate(identity: "a")
    let record = LeaseRecord(holder: "b", durationSeconds: 60, at: clock)
    #expect(candidate.decide(record, at: now, clock) == .wait)
    #expect(candidate.decide(record, at: now + .seconds(59), clock) == .wait)
    #expect(candidate.decide(record, at: now + .seconds(60), clock) != .wait)
  }

  @Test("leads from when it asked, for the renewal deadline")
  func leading() {
    var candidate = LeadershipCandidate(identity: "a")
    guard case .create(let record) = candidate.decide(nil, at: now, clock) else {
      Issue.record("expected it to be created")
      return
    }
    candidate.wrote(record, asked: now)
    #expect(candidate.leads(at: now + .seconds(9.9)))
    #expect(!candidate.leads(at: now + .seconds(10)))
    #expect(candidate.renewal(clock)?.holder == "a")
    // It sees that another has it: it leads no more, at once.
    _ = candidate.decide(LeaseRecord(holder: "b", durationSeconds: 15, at: clock), at: now + .seconds(1), clock)
    #expect(!candidate.leads(at: now + .seconds(1)))
    #expect(candidate.release(clock) == nil)
  }

  @Test("what was released is free at once")
  func released() {
    var first = LeadershipCandidate(identity: "a")
    first.wrote(LeaseRecord(holder: "a", durationSeconds: 15, at: clock), asked: now)
    let left = first.release(clock)
    #expect(left?.holder == "")
    #expect(!first.leads(at: now))
    var second = LeadershipCandidate(identity: "b")
    guard let left, case .update(let next) = second.decide(left, at: now, clock) else {
      Issue.record("expected it to be taken")
      return
    }
    #expect(next.holder == "b")
  }

  @Test("times have six digits of a second, as a MicroTime must")
  func times() {
    #expect(LeaseRecord.time(Timestamp(milliseconds: 1_500)) == "1970-01-01T00:00:01.500000Z")
  }
}
