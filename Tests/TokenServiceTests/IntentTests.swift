import AgentProtocols
import CASACore
import IntentChecks
import Testing
import Traces

@testable import TokenService

@Suite("The checks of intent at exchange")
struct IntentTests {
  private let stranger: [String: JSONValue] = ["to": "stranger@evil.example"]

  private func reason(_ body: () async throws -> Void) async -> RefusalReason? {
    do {
      try await body()
      return nil
    } catch { return (error as? OAuthError)?.reason }
  }

  @Test("refuse a selected call with a value that nobody gave, and tell the trace which check did")
  func ungrounded() async throws {
    let system = try await TestSystem()
    let session = try await system.session("What is the weather in Oslo?")
    try await system.select(session, [("send_mail", stranger)])
    let refused = await reason { _ = try await system.toolToken(session, "send_mail", stranger, server: "mail") }
    #expect(refused == .toolParametersMismatch)
    let event = try #require(try await system.events(.exchangeRefused).last)
    let checks = try #require(event["payload"]?["decision"]?["checks"]?.array)
    #expect(checks.contains { $0["check"]?.string == "ARGUMENT_GROUNDING" && $0["answer"]?.string == "block" })
  }

  @Test("allow the same call when the user asked for it")
  func grounded() async throws {
    let system = try await TestSystem()
    let session = try await system.session("Send a mail to stranger@evil.example.")
    try await system.select(session, [("send_mail", stranger)])
    _ = try await system.toolToken(session, "send_mail", stranger, server: "mail")
  }

  @Test("attack 31: after some near misses nothing of the session passes any more, not even after a restart")
  func lockOut() async throws {
    let system = try await TestSystem()
    let session = try await system.session("What is the weather in Oslo?")
    let other = try await system.session("What is the weather in Oslo?")
    let limit = IntentPolicy().maximumNearMisses
    for attempt in 0..<limit {
      let call: [String: JSONValue] = ["to": .string("stranger\(attempt)@evil.example")]
      try await system.select(session, [("send_mail", call)])
      let refused = await reason { _ = try await system.toolToken(session, "send_mail", call, server: "mail") }
      #expect(refused == .toolParametersMismatch)
      system.clock.advance(by: .seconds(20))
    }
    try await system.select(session)
    #expect(await reason { _ = try await system.toolToken(session) } == .sessionLocked)
    let restarted = try await system.restarted()
    #expect(await reason { _ = try await restarted.toolToken(session) } == .sessionLocked)
    // Other sessions go on.
    try await restarted.select(other)
    _ = try await restarted.toolToken(other)
  }

  @Test(
    "attack 31: after a near miss calls wait, longer each time, also after a restart; reads and other sessions don't")
  func rateLimit() async throws {
    var system = try await TestSystem()
    let session = try await system.session("Send a mail to a@b.example. What is the weather?")
    let other = try await system.session("Send a mail to a@b.example. What is the weather?")
    let asked: [String: JSONValue] = ["to": "a@b.example"]
    try await system.select(session, [("send_mail", asked), ("get_weather", ["city": "Oslo"])])
    try await system.select(other, [("send_mail", asked)])
    for (attempt, pause) in [1, 2, 4].enumerated() {
      let call: [String: JSONValue] = ["to": .string("stranger\(attempt)@evil.example")]
      try await system.select(session, [("send_mail", call)])
      #expect(
        await reason { _ = try await system.toolToken(session, "send_mail", call, server: "mail") }
          == .toolParametersMismatch)
      // What the user asked for waits too; who tries meanwhile is not counted, and does not wait longer for it.
      for _ in 0..<8 {
        let refused = await refusal { _ = try await system.toolToken(session, "send_mail", asked, server: "mail") }
        #expect(refused?.reason == .sessionRateLimited)
        #expect(refused?.retryAfter == pause)
      }
      system = try await system.restarted()
      system.clock.advance(by: .milliseconds(Int64(pause) * 1000 - 1))
      let refused = await refusal { _ = try await system.toolToken(session, "send_mail", asked, server: "mail") }
      #expect(refused?.reason == .sessionRateLimited)
      #expect(refused?.retryAfter == 1)
      system.clock.advance(by: .milliseconds(1))
    }
    let event = try #require(try await system.events(.exchangeRefused).last { $0["payload"]?["retry_after"] != nil })
    #expect(event["payload"]?["reason"]?.string == "session_rate_limited")
    _ = try await system.toolToken(session, "send_mail", asked, server: "mail")
    let call: [String: JSONValue] = ["to": "last@evil.example"]
    try await system.select(session, [("send_mail", call)])
    #expect(
      await reason { _ = try await system.toolToken(session, "send_mail", call, server: "mail") }
        == .toolParametersMismatch)
    _ = try await system.toolToken(session)
    _ = try await system.toolToken(other, "send_mail", asked, server: "mail")
  }

  @Test("however many other refusals there were, near misses are known after a restart")
  func buriedNearMisses() async throws {
    let system = try await TestSystem()
    let session = try await system.session("What is the weather in Oslo?")
    let id = try #require(session.claims.userInputID)
    let others = (0..<1100).map { _ in
      TraceEvent(
        .exchangeRefused, at: system.clock.now, masID: system.mas.id, userInputID: id, traceID: nil,
        appID: system.agent.id, payload: ["reason": "tool_not_selected_by_llm"])
    }
    try await system.server.traces.append(others)
    try await system.select(session, [("send_mail", stranger)])
    #expect(
      await reason { _ = try await system.toolToken(session, "send_mail", stranger, server: "mail") }
        == .toolParametersMismatch)
    let restarted = try await system.restarted()
    #expect(
      await reason { _ = try await restarted.toolToken(session, "send_mail", stranger, server: "mail") }
        == .sessionRateLimited)
  }

  @Test("calls that no check of intent refused are no near misses")
  func notNear() async throws {
    let system = try await TestSystem()
    let session = try await system.session()
    try await system.select(session)
    for _ in 0..<(2 * IntentPolicy().maximumNearMisses) {
      let refused = await reason { _ = try await system.toolToken(session, "get_weather", ["city": "Rome"]) }
      #expect(refused == .toolNotSelectedByLLM)
    }
    _ = try await system.toolToken(session)
  }

  @Test("a MAS's own policy counts")
  func policy() async throws {
    let system = try await TestSystem()
    var settings = try #require(system.server.registry.mas(system.mas.id)).settings
    settings.intent.groundedValues = ["*@evil.example"]
    _ = try await system.server.registry.updateMAS(system.mas.id, settings: settings)
    let session = try await system.session("What is the weather in Oslo?")
    try await system.select(session, [("send_mail", stranger)])
    _ = try await system.toolToken(session, "send_mail", stranger, server: "mail")
  }
}
