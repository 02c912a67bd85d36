import Testing
@testable import Controller
@Test func backoff() { #expect(Backoff(shortest: .seconds(1), longest: .seconds(8)).pause(after: 2, jitter: 1) == .seconds(2)) }
