import AgentProtocols
import CASACore
import Enforcement
import Synchronization
import Testing

@testable import EnvoyAuthorization

/// A clock that stands still until a test moves it.
final class TestClock: Sendable {
  static let start = Timestamp(seconds: 1_800_000_000)
  private let moment = Mutex(start)
  var wallClock: WallClock { WallClock { self.moment.withLock { $0 } } }
  func advance(by interval: Duration) { moment.withLock { $0 = $0 + interval } }
}

/// Text in the form of a token; nobody here looks at its signature.
private func token(_ name: String) -> String {
  Base64URL.encode(Array(#"{"alg":"ES256","typ":"at+jwt"}"#.utf8)) + "."
    + Base64URL.encode(Array(#"{"jti":"\#(name)"}"#.utf8)) + "." + Base64URL.encode([UInt8](repeating: 7, count: 64))
}

private func hash(_ byte: UInt8) -> TokenHash { TokenHash(digest: [UInt8](repeating: byte, count: 32)) }

@Suite("A token that is kept packed")
struct PackedTokenTests {
  @Test("comes out as it went in")
  func roundTrip() throws {
    var examples = PackedToken.Examples()
    for name in ["a", "bb", "ccc"] {
      #expect(try #require(PackedToken(token(name), sharing: &examples)).compact == token(name))
    }
  }

  @Test("is kept as what tells it from another of its kind")
  func size() throws {
    var examples = PackedToken.Examples()
    let names = ["an example, which is kept once", "an eXample, which is kept onCe", "AN example, which IS KEPT ONCE"]
    let packed = try names.map { try #require(PackedToken(token($0), sharing: &examples)) }
    #expect(packed.map(\.compact) == names.map(token))
    // Two counts of two bytes for each difference and for the end, and 64 bytes of signature.
    #expect(packed.map(\.difference.count) == [64 + 4, 64 + 3 * 4 + "XO".count, 64 + 3 * 4 + "ANIS KEPT ONCE".count])
  }

  @Test("is refused when it could come out as another", arguments: ["", "a.b", "a.b.c.d", "a.%.c", "YQ.YR.YQ", "a..c"])
  func others(text: String) {
    var examples = PackedToken.Examples()
    #expect(PackedToken(text, sharing: &examples)?.compact ?? text == text)
    if text != "a..c" { #expect(PackedToken(text, sharing: &examples) == nil) }
  }
}

@Suite("Tokens held for what is done more than once")
struct HeldTokensTests {
  private let clock = TestClock()
  private let trace = TraceID.random()

  private func held(_ text: String, expiresIn lifetime: Duration = .seconds(300)) -> HeldToken {
    HeldToken(compact: text, hash: hash(9), expiresAt: TestClock.start + lifetime, userInputID: nil, parent: hash(1))
  }

  @Test("are found by trace, purpose and the session's token they came from")
  func uses() {
    let tokens = HeldTokens(clock: clock.wallClock)
    tokens.hold(held("llm"), for: .llm, in: trace)
    tokens.hold(held("a"), for: .call(AppID("a")), in: trace)
    #expect(tokens.held(.llm, in: trace, from: hash(1))?.compact == "llm")
    #expect(tokens.held(.call(AppID("a")), in: trace, from: hash(1))?.compact == "a")
    #expect(tokens.held(.call(AppID("b")), in: trace, from: hash(1)) == nil)
    #expect(tokens.held(.llm, in: .random(), from: hash(1)) == nil)
    #expect(tokens.held(.llm, in: trace, from: hash(2)) == nil)
  }

  @Test("are not used in the last two seconds of their life")
  func expiry() {
    let tokens = HeldTokens(clock: clock.wallClock)
    tokens.hold(held("t", expiresIn: .seconds(10)), for: .llm, in: trace)
    clock.advance(by: .milliseconds(7999))
    #expect(tokens.held(.llm, in: trace, from: hash(1)) != nil)
    clock.advance(by: .milliseconds(1))
    #expect(tokens.held(.llm, in: trace, from: hash(1)) == nil)
  }

  @Test("are bounded in number")
  func bound() {
    let tokens = HeldTokens(capacity: 100, clock: clock.wallClock)
    tokens.hold(held("t"), for: .llm, in: trace)
    for _ in 0..<200 { tokens.hold(held("t"), for: .llm, in: .random()) }
    #expect(tokens.held(.llm, in: trace, from: hash(1)) == nil)
  }
}

@Suite("Whose words a text holds")
struct TextIndexTests {
  private let a = TraceID.random()
  private let b = TraceID.random()

  private func index(_ first: String, _ second: String) -> TextIndex {
    var index = TextIndex()
    index.insert(first, for: a)
    index.insert(second, for: b)
    return index
  }

  private func find(_ index: TextIndex, _ texts: String..., live: Set<TraceID>? = nil) -> TextIndex.Finding {
    index.find(in: texts) { live?.contains($0) ?? true }
  }

  @Test("is found wherever the words stand, and as often as they do")
  func anywhere() {
    let index = index("What is my balance today?", "Pay the invoice of the baker.")
    #expect(find(index, "What is my balance today?") == .one(a))
    #expect(find(index, "You are a bank.\nUser: What is my balance today?\nAnswer:") == .one(a))
    #expect(find(index, "You are a bank.", "Pay the invoice of the baker.", "Pay the invoice of the baker.") == .one(b))
    #expect(find(index, "What is my balance tomorrow?") == .none)
    #expect(find(index, "") == .none)
  }

  @Test("is not known when two sessions have a claim")
  func ambiguity() {
    let index = index("What is my balance today?", "Pay the invoice of the baker.")
    #expect(find(index, "What is my balance today? Pay the invoice of the baker.") == .several)
    #expect(find(index, "What is my balance today?", "Pay the invoice of the baker.") == .several)
    let same = self.index("What is my balance today?", "What is my balance today?")
    #expect(find(same, "What is my balance today?") == .several)
    #expect(find(same, "What is my balance today?", live: [b]) == .one(b))
  }

  @Test("goes by the longest words, not by others within them")
  func longest() {
    let index = index("Please pay invoice 1", "Please pay invoice 12 and 13")
    #expect(find(index, "Please pay invoice 12 and 13") == .one(b))
    #expect(find(index, "Please pay invoice 1") == .one(a))
    #expect(find(index, "Please pay invoice 12 and 13. Please pay invoice 1") == .several)
  }

  @Test("short words count only as the whole of a text, and white space around words does not")
  func short() {
    let index = index("hi", "  Pay the invoice of the baker.\n")
    #expect(find(index, "hi") == .one(a))
    #expect(find(index, " hi\n") == .one(a))
    #expect(find(index, "hi there") == .none)
    #expect(find(index, "Pay the invoice of the baker.") == .one(b))
    #expect(find(index, ">>Pay the invoice of the baker.<<") == .one(b))
  }

  @Test("words of ended sessions are gone")
  func removal() {
    var index = index("What is my balance today?", "What is my balance today?")
    index.remove { $0 == a }
    #expect(find(index, "What is my balance today?") == .one(b))
  }

  @Test("a long conversation with many sessions is searched in bounded time")
  func size() {
    var index = TextIndex()
    for number in 0..<2000 { index.insert("User input number \(number) of a crowd", for: .random()) }
    index.insert("the one that is asked for", for: a)
    let filler = String(repeating: "User input numbers of a cloud ", count: 8000)
    #expect(find(index, filler + "the one that is asked for") == .one(a))
    // Made to be compared with long words at every place.
    index.insert(String(repeating: "a", count: 60_000), for: b)
    #expect(find(index, String(repeating: "a", count: 200_000)) == .several)
  }
}

@Suite("The sessions of a workload")
struct LiveSessionsTests {
  private let clock = TestClock()
  private let sessions: LiveSessions
  private let a = TraceID.random()
  private let b = TraceID.random()

  init() { sessions = LiveSessions(clock: clock.wallClock) }

  private func take(
    _ trace: TraceID, _ text: String?, context: String? = nil, from caller: String = "app_c",
    for life: Duration = .seconds(300)
  ) throws {
    try sessions.take(
      token(trace.text), expiresAt: TestClock.start + life, in: trace, text: text, contextID: context,
      from: AppID(caller))
  }

  private func call(_ tool: String, _ arguments: [String: JSONValue]) throws -> EgressCall.Content {
    .toolCall(
      ToolCall(server: try #require(Name("bank")), tool: try #require(ToolName(tool)), arguments: arguments))
  }

  private func found(_ content: EgressCall.Content) -> TraceID? {
    if case .one(let trace, _) = sessions.find(content) { trace } else { nil }
  }

  private func isAmbiguous(_ content: EgressCall.Content) -> Bool {
    if case .several = sessions.find(content) { true } else { false }
  }

  @Test("own a conversation in turn when one caller goes on with it, and none does of which two callers speak")
  func conversations() throws {
    let named = EgressCall.Content.agent(text: nil, contextID: "c")
    try take(a, nil, context: "c")
    try take(b, nil, context: "c")
    #expect(found(named) == b)
    let intruder = TraceID.random()
    try take(intruder, nil, context: "c", from: "app_d")
    #expect(isAmbiguous(named))
    // Nobody can take it by speaking once more.
    try take(intruder, nil, context: "c", from: "app_d")
    #expect(isAmbiguous(named))
  }

  @Test("leave a conversation to another caller when they have ended")
  func endedConversation() throws {
    try take(a, nil, context: "c", for: .seconds(10))
    clock.advance(by: .seconds(11))
    try take(b, nil, context: "c", from: "app_d")
    #expect(found(.agent(text: nil, contextID: "c")) == b)
  }

  @Test("have their token until two seconds before its end")
  func life() throws {
    try take(a, nil, for: .seconds(10))
    #expect(sessions.session(a)?.compact == token(a.text))
    #expect(sessions.session(a)?.hash == tokenHash(token(a.text)))
    #expect(sessions.session(b) == nil)
    clock.advance(by: .seconds(8))
    #expect(sessions.session(a) == nil)
  }

  @Test("are found by what the LLM is asked, by A2A's context, and by the only one there is")
  func byContent() throws {
    try take(a, "What is my balance today?", context: "ctx-a")
    #expect(found(.stream(resumed: false)) == a)
    try take(b, "Pay the invoice of the baker.")
    #expect(found(.llm(["system", "What is my balance today?"])) == a)
    #expect(found(.agent(text: nil, contextID: "ctx-a")) == a)
    #expect(found(.agent(text: "Pay the invoice of the baker.", contextID: nil)) == b)
    #expect(found(.agent(text: "Pay the invoice of the baker.", contextID: "ctx-z")) == b)
    #expect(isAmbiguous(.stream(resumed: false)))
  }

  @Test("are found by a call that was selected in one of them, as often as it was")
  func bySelection() throws {
    try take(a, nil)
    try take(b, nil)
    let selections = try ChatCompletion.selections(
      in: Array(
        #"{"choices":[{"message":{"tool_calls":[{"function":{"name":"pay","arguments":"{\"n\":1}"}}]}}]}"#.utf8))
    #expect(found(try call("pay", ["n": 1])) == nil)
    sessions.select(selections, in: a)
    #expect(found(try call("pay", ["n": 1])) == a)
    #expect(found(try call("pay", ["n": 2])) == nil)
    #expect(found(try call("get", ["n": 1])) == nil)
    sessions.select(selections, in: b)
    #expect(isAmbiguous(try call("pay", ["n": 1])))
    sessions.use(try #require(ToolName("pay")), argumentsSHA256: selections[0].argumentsSHA256, in: a)
    #expect(found(try call("pay", ["n": 1])) == b)
    sessions.use(try #require(ToolName("pay")), argumentsSHA256: selections[0].argumentsSHA256, in: b)
    #expect(found(try call("pay", ["n": 1])) == nil)
  }

  @Test("that ended are found no more, and make room")
  func ending() throws {
    try take(a, "What is my balance today?", context: "ctx", for: .seconds(10))
    clock.advance(by: .seconds(11))
    #expect(found(.llm(["What is my balance today?"])) == nil)
    #expect(found(.agent(text: nil, contextID: "ctx")) == nil)
    #expect(found(.stream(resumed: false)) == nil)
    clock.advance(by: .seconds(20))
    try sessions.take(
      token("b"), expiresAt: TestClock.start + .seconds(300), in: b, text: nil, contextID: nil, from: nil)
    #expect(sessions.count == 1)
  }

  @Test("200 at once never mix")
  func concurrency() async throws {
    let traces = (0..<200).map { _ in TraceID.random() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, trace) in traces.enumerated() {
        group.addTask {
          try sessions.take(
            token(trace.text), expiresAt: TestClock.start + .seconds(300), in: trace,
            text: "Please pay invoice \(number)", contextID: nil, from: nil)
          #expect(found(.llm(["Be helpful.", "Please pay invoice \(number)"])) == trace)
        }
      }
      try await group.waitForAll()
    }
    for (number, trace) in traces.enumerated() {
      #expect(found(.llm(["Please pay invoice \(number)"])) == trace)
      #expect(sessions.session(trace)?.compact == token(trace.text))
    }
  }
}
