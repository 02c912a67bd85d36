import AgentProtocols
import CASACore
import IntentChecks
import Testing

@testable import TokenService

@Suite("Calls under way")
struct CallsUnderWayTests {
  private static let now = Timestamp(seconds: 1000)

  private func call(_ arguments: String, tool: String = "pay", server: String = "app_bank") throws
    -> CallsUnderWay.Call
  {
    CallsUnderWay.Call(
      server: AppID(server), tool: try #require(ToolName(tool)), argumentsSHA256: arguments)
  }

  private func others(_ calls: CallsUnderWay, _ call: CallsUnderWay.Call, at now: Timestamp = now, done: [String] = [])
    -> Int
  {
    calls.others(than: call, at: now, isDone: done.contains)
  }

  private func begin(
    _ call: CallsUnderWay.Call, _ calls: inout CallsUnderWay, at now: Timestamp = now, isTaken: Bool = true
  ) {
    let wasTaken = calls.begin(call, at: now)
    #expect(wasTaken == isTaken)
  }

  @Test("count while they are decided about, and as long as what was granted may be spent")
  func counted() throws {
    let (one, other) = (try call("a"), try call("b"))
    var calls = CallsUnderWay()
    begin(one, &calls)
    #expect(others(calls, other) == 1)
    #expect(others(calls, one) == 0)
    calls.end(one, grantedUntil: Self.now + .seconds(30))
    #expect(others(calls, other) == 1)
    #expect(others(calls, other, at: Self.now + .seconds(30)) == 0)
    #expect(others(calls, other, done: ["a"]) == 0)
    #expect(others(calls, try call("b", tool: "read")) == 0)
    #expect(others(calls, try call("b", server: "app_other")) == 0)
  }

  @Test("are forgotten when they are refused, but not what was granted of the same call before")
  func refused() throws {
    let (one, other) = (try call("a"), try call("b"))
    var calls = CallsUnderWay()
    begin(one, &calls)
    calls.end(one, grantedUntil: nil)
    #expect(others(calls, other) == 0)
    for _ in 0..<2 { begin(one, &calls) }
    calls.end(one, grantedUntil: nil)
    #expect(others(calls, other) == 1)
    calls.end(one, grantedUntil: Self.now + .seconds(30))
    begin(one, &calls)
    calls.end(one, grantedUntil: nil)
    #expect(others(calls, other) == 1)
  }

  @Test("are bounded, and make room when their time is over")
  func bounded() throws {
    var calls = CallsUnderWay()
    for index in 0..<CallsUnderWay.maximum {
      let one = try call("\(index)")
      begin(one, &calls)
      calls.end(one, grantedUntil: Self.now + .seconds(30))
    }
    begin(try call("more"), &calls, isTaken: false)
    begin(try call("0"), &calls)
    begin(try call("more"), &calls, at: Self.now + .seconds(31))
  }

  /// A session whose user asks for one payment, in which data names two that could be meant.
  private func payment(_ system: TestSystem) async throws -> IssuedToken {
    var settings = MAS.Settings(enabledToolChecks: [.deterministicLLMSelectedTools, .argumentGrounding])
    settings.intent.toolEffects = [
      try #require(ToolName("get_weather")): [.pays], try #require(ToolName("get_forecast")): [.reads],
    ]
    _ = try await system.server.registry.updateMAS(system.mas.id, settings: settings)
    let session = try await system.session("Pay the bill of the city in the forecast")
    try await system.select(
      session, [("get_forecast", [:]), ("get_weather", ["city": "Oslo"]), ("get_weather", ["city": "Bergen"])])
    let read = try await system.toolToken(session, "get_forecast", [:])
    _ = try await system.spend(read)
    let report = ToolResultReport(text: "- city: Oslo\n- city: Bergen\n", isTruncated: false, unread: [])
    try await system.server.record(
      [.toolResult(token: UnverifiedToken(read.compact), report)], by: AuthenticatedClient(app: system.agent))
    return session
  }

  @Test("of a tool that the request asks for once leave no second one, though nothing was carried out yet")
  func once() async throws {
    let system = try await TestSystem()
    let session = try await payment(system)
    let first = try await system.toolToken(session, "get_weather", ["city": "Oslo"])
    let refused = await refusal { _ = try await system.toolToken(session, "get_weather", ["city": "Bergen"]) }
    #expect(refused?.reason == .toolParametersMismatch)
    _ = try await system.spend(first)
  }

  @Test("that were refused stand in no other's way, nor does the same call again")
  func afterRefusal() async throws {
    let system = try await TestSystem()
    let session = try await payment(system)
    let unselected = await refusal {
      _ = try await system.toolToken(session, "get_weather", ["city": "Oslo", "day": 1])
    }
    #expect(unselected?.reason == .toolNotSelectedByLLM)
    for _ in 0..<2 { _ = try await system.toolToken(session, "get_weather", ["city": "Oslo"]) }
  }
}
