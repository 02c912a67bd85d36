import CASACore
import Testing

@testable import Controller

@Suite("Limits and pauses")
struct RequestRateTests {
  @Test("a burst goes at once, then requests go at the rate")
  func burst() {
    var budget = RequestBudget(RequestRate(perSecond: 10, burst: 5))
    let now = ContinuousClock.now
    let pauses = (0..<8).compactMap { _ in budget.take(at: now, before: now + .seconds(60)) }
    #expect(pauses.map(\.wholeMilliseconds) == [0, 0, 0, 0, 0, 100, 200, 300])
    // What waits for longer than the time there is takes no turn.
    #expect(budget.take(at: now, before: now + .milliseconds(300)) == nil)
    #expect(budget.take(at: now, before: now + .milliseconds(500)) == .milliseconds(400))
    // After a while there is a whole burst again, and no more than that.
    let later = now + .seconds(3600)
    #expect(
      (0..<6).compactMap { _ in budget.take(at: later, before: later + .seconds(1)) }.filter { $0 > .zero }.count == 1)
  }

  @Test("in the long run the rate is kept, whatever the order")
  func rate() {
    var budget = RequestBudget(RequestRate(perSecond: 100, burst: 10))
    var random = SystemRandomNumberGenerator()
    let start = ContinuousClock.now
    var now = start
    var sent = 0
    while now < start + .seconds(20) {
      now += .milliseconds(Int64.random(in: 0...4, using: &random))
      if budget.take(at: now, before: now + .nanoseconds(1)) != nil { sent += 1 }
    }
    #expect(sent <= 20 * 100 + 11)
    #expect(sent >= 20 * 100 - 100)
  }

  @Test("pauses double up to the longest, and jitter takes at most half")
  func backoff() {
    let backoff = Backoff(shortest: .milliseconds(50), longest: .seconds(60))
    #expect(backoff.pause(after: 1, jitter: 1) == .milliseconds(50))
    #expect(backoff.pause(after: 1, jitter: 0) == .milliseconds(25))
    #expect(backoff.pause(after: 4, jitter: 1) == .milliseconds(400))
    #expect(backoff.pause(after: 11, jitter: 1) == .milliseconds(51_200))
    for failures in [12, 100, Int.max] { #expect(backoff.pause(after: failures, jitter: 1) == .seconds(60)) }
  }

  @Test("the same Event is not told twice within minutes, and then with a count")
  func repetitions() {
    var repetitions = EventRepetitions()
    let now = ContinuousClock.now
    let place = EventRepetitions.Place(object: "a", uid: "1", reason: "R")
    #expect(repetitions.tell(place, at: now) == 1)
    #expect(repetitions.tell(place, at: now + .seconds(10)) == nil)
    #expect(repetitions.tell(place, at: now + .seconds(299)) == nil)
    #expect(repetitions.tell(EventRepetitions.Place(object: "a", uid: "1", reason: "S"), at: now) == 1)
    #expect(repetitions.tell(EventRepetitions.Place(object: "a", uid: "2", reason: "R"), at: now) == 1)
    #expect(repetitions.tell(place, at: now + .seconds(300)) == 3)
  }

  @Test("an Event fits what the API server takes")
  func event() throws {
    let object = try KubernetesObject(json: [
      "metadata": ["name": .string(String(repeating: "n", count: 253)), "namespace": "ns", "uid": "u"]
    ])
    let event = EventRecorder.event(
      .warning, "Failed", String(repeating: "ä", count: 3000), about: object, of: .multiAgentSystems, count: 2,
      instance: "i", at: Timestamp(seconds: 0), suffix: .max)
    #expect((event["metadata"]?["name"]?.string?.utf8.count ?? 999) <= 253)
    #expect((event["message"]?.string?.utf8.count ?? 9999) <= 1024)
    #expect(event["firstTimestamp"] == "1970-01-01T00:00:00Z")
    #expect(event["involvedObject"]?["uid"] == "u")
  }
}
