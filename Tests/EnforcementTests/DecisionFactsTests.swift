import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

@Suite("What a filter needs to decide by itself")
struct DecisionFactsTests {
  private static let hash = String(repeating: "ab", count: 32)
  private static let active: JSONValue = ["sha256": .string(hash), "user_input_id": "ui_1", "ms": 500]
  private static let token: JSONValue = [
    "trace_id": .string(TestSystem.trace), "purpose": "call:app_mcp", "token": "a.b.c", "sha256": .string(hash),
    "user_input_id": "ui_1", "prompt_sha256": .string(hash), "api_key": "sk", "ms": 700,
  ]
  private static let owner: JSONValue = ["sha256": .string(hash), "app": "app_caller"]

  private func facts(_ json: JSONValue) -> DecisionFacts { DecisionFacts(json: json, now: TestClock.start) }

  @Test("is read as it was written")
  func roundTrip() throws {
    let identity = try TestSystem.identity("agent", "agent")
    let json: JSONValue = [
      "identity": identity.json, "active": Self.active, "token": Self.token, "mcp_session": Self.owner,
    ]
    let facts = facts(json)
    #expect(facts.json == json)
    #expect(facts.identity?.name.text == "agent")
    #expect(facts.activeToken?.lifetime == .milliseconds(500))
    #expect(facts.activeToken?.session == UserInputID("ui_1"))
    let token = try #require(facts.sessionToken)
    #expect(token.trace.text == TestSystem.trace)
    #expect(token.purpose == .call(AppID("app_mcp")))
    #expect(token.token.compact == "a.b.c")
    #expect(token.token.promptDigest == Self.hash)
    #expect(token.token.expiresAt == TestClock.start + .milliseconds(700))
    #expect(token.apiKey == "sk")
    #expect(facts.sessionOwner?.app == AppID("app_caller"))
    #expect(facts.sessionOwner?.session.digest == Self.hash)
    #expect(DecisionFacts().json == [:])
    #expect(self.facts(DecisionFacts().json).json == [:])
  }

  @Test("leaves out what is optional")
  func optional() throws {
    var members = try #require(Self.token.object)
    for name in ["user_input_id", "prompt_sha256", "api_key"] { members[name] = .null }
    members["purpose"] = "llm"
    let token = try #require(facts(["token": .object(members)]).sessionToken)
    #expect(token.purpose == .llm)
    #expect(token.apiKey == nil)
    #expect(token.token.promptDigest == nil)
    #expect(token.token.userInputID == nil)
  }

  @Test(
    "is not learned when a part of it is not as it must be",
    arguments: [
      ("sha256", JSONValue.string("AB")), ("ms", 0), ("ms", 60_001), ("ms", .number(1.5)), ("ms", "5"), ("ms", .null),
      ("ms", -1),
      ("trace_id", "0"), ("purpose", "call:"), ("purpose", "LLM"), ("purpose", "call:a b"), ("token", 1),
    ] as [(String, JSONValue)])
  func malformed(name: String, value: JSONValue) throws {
    var token = try #require(Self.token.object)
    token[name] = value
    #expect(facts(["token": .object(token)]).sessionToken == nil)
    var active = try #require(Self.active.object)
    guard active[name] != nil else { return }
    active[name] = value
    #expect(facts(["active": .object(active)]).activeToken == nil)
  }

  @Test("names owners of sessions in full, or not at all")
  func owners() {
    for owner: JSONValue in [
      ["sha256": "ab", "app": "a"], ["sha256": .string(Self.hash)], ["sha256": .string(Self.hash), "app": "a b"],
    ] {
      #expect(facts(["mcp_session": owner]).sessionOwner == nil)
    }
    #expect(facts(["identity": ["id": "a"]]).identity == nil)
    #expect(facts("x").json == [:])
  }
}
