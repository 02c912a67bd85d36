import AgentProtocols
import CASACore
import IntentChecks
import Testing

@Suite("The checks of a tool call")
struct ToolCallChecksTests {
  private let all = Set(CheckName.allCases)
  private let digest = argumentsSHA256(["city": "Oslo"])

  private func tool(_ text: String) throws -> ToolName { try #require(ToolName(text)) }

  /// A call of `get_weather` for Oslo that every check allows, but for what is changed.
  private func question(
    granted: [String] = ["get_weather"], offered: OfferedTool? = .pinned, llmCalls: Int = 1,
    selections: [RecordedSelection]? = nil
  ) throws -> ToolCallInQuestion {
    let call = ToolCall(
      server: try #require(Name("weather")), tool: try tool("get_weather"), arguments: ["city": "Oslo"])
    return ToolCallInQuestion(
      call: call, argumentsSHA256: call.argumentsSHA256, grantedTools: Set(try granted.map { try tool($0) }),
      offered: offered, llmCalls: llmCalls,
      selections: try selections
        ?? [RecordedSelection(tool: try tool("get_weather"), argumentsSHA256: digest, isUsed: false)])
  }

  private func verdict(
    _ question: ToolCallInQuestion, enabled: Set<CheckName>? = nil, allowUndecided: Bool = false
  ) async -> Verdict {
    await ToolCallChecks(enabled: enabled ?? all, allowUndecided: allowUndecided).decide(question).verdict
  }

  @Test("allow the call that the LLM selected, of a tool that is granted and offered as approved")
  func allow() async throws {
    let decision = await ToolCallChecks(enabled: all, allowUndecided: false).decide(try question())
    #expect(decision.verdict == .allow)
    let deterministic = decision.results.prefix(2)
    #expect(deterministic.map(\.check) == [.deterministicToolSelected, .deterministicLLMSelectedTools])
    #expect(deterministic.map(\.answer) == [.allow, .allow])
    // Of neither the request nor the tool anything is known here: the others have nothing to go on.
    #expect(decision.results.dropFirst(2).allSatisfy { $0.answer.isAbstention })
  }

  // MARK: DETERMINISTIC_TOOL_SELECTED

  @Test(
    "refuse a tool that the token does not grant", arguments: [[], ["get_weathe"], ["Get_Weather"], ["get_forecast"]])
  func notGranted(granted: [String]) async throws {
    #expect(await verdict(try question(granted: granted)) == .refuse(.insufficientScope))
  }

  @Test("refuse a tool that the server does not offer")
  func unknownTool() async throws { #expect(await verdict(try question(offered: nil)) == .refuse(.unknownTool)) }

  @Test("refuse a tool whose definition changed since it was approved")
  func modified() async throws {
    #expect(await verdict(try question(offered: .modified)) == .refuse(.modifiedMCPToolDefinitions))
  }

  // MARK: DETERMINISTIC_LLM_SELECTED_TOOLS

  @Test("refuse a call by an app that asked no LLM")
  func noLLMCalls() async throws {
    #expect(await verdict(try question(llmCalls: 0, selections: [])) == .refuse(.noLLMCallsMadeByApp))
  }

  @Test("refuse a call that the LLM did not select")
  func notSelected() async throws {
    #expect(await verdict(try question(selections: [])) == .refuse(.toolNotSelectedByLLM))
    let other = RecordedSelection(tool: try tool("get_forecast"), argumentsSHA256: digest, isUsed: false)
    #expect(await verdict(try question(selections: [other])) == .refuse(.toolNotSelectedByLLM))
  }

  @Test("refuse a call with other arguments than the LLM selected")
  func otherArguments() async throws {
    let other = RecordedSelection(
      tool: try tool("get_weather"), argumentsSHA256: argumentsSHA256(["city": "Rome"]), isUsed: false)
    #expect(await verdict(try question(selections: [other])) == .refuse(.toolNotSelectedByLLM))
  }

  @Test("refuse a call whose selections were all carried out, and allow it while one is left")
  func used() async throws {
    let used = RecordedSelection(tool: try tool("get_weather"), argumentsSHA256: digest, isUsed: true)
    let unused = RecordedSelection(tool: try tool("get_weather"), argumentsSHA256: digest, isUsed: false)
    #expect(await verdict(try question(selections: [used])) == .refuse(.toolSelectionAlreadyUsed))
    #expect(await verdict(try question(selections: [used, used])) == .refuse(.toolSelectionAlreadyUsed))
    #expect(await verdict(try question(selections: [used, unused])) == .allow)
  }

  // MARK: Together

  @Test("give the verdict of those that are switched on")
  func subsets() async throws {
    let notGranted = try question(granted: [])
    let notSelected = try question(selections: [])
    #expect(await verdict(notGranted, enabled: [.deterministicLLMSelectedTools]) == .allow)
    #expect(await verdict(notGranted, enabled: [.deterministicToolSelected]) == .refuse(.insufficientScope))
    #expect(await verdict(notSelected, enabled: [.deterministicToolSelected]) == .allow)
    #expect(await verdict(notSelected, enabled: [.deterministicLLMSelectedTools]) == .refuse(.toolNotSelectedByLLM))
  }

  @Test("refuse everything when none is switched on, unless the MAS asked for it")
  func none() async throws {
    #expect(await verdict(try question(), enabled: []) == .refuse(.noCheckAllowed))
    #expect(await verdict(try question(), enabled: [], allowUndecided: true) == .allow)
  }

  @Test("refuse what a check blocks, though undecided calls are allowed")
  func blockIsFinal() async throws {
    #expect(await verdict(try question(selections: []), allowUndecided: true) == .refuse(.toolNotSelectedByLLM))
    #expect(await verdict(try question(offered: nil), allowUndecided: true) == .refuse(.unknownTool))
  }

  @Test("answer each with one sentence that holds no argument's value")
  func explanations() async throws {
    for question in [
      try question(), try question(granted: [], selections: []), try question(offered: .modified, llmCalls: 0),
    ] {
      let decision = await ToolCallChecks(enabled: all, allowUndecided: false).decide(question)
      #expect(decision.results.count >= 3)
      for result in decision.results {
        #expect(!result.explanation.isEmpty)
        #expect(!result.explanation.contains("Oslo"))
        #expect(result.latency >= .zero)
      }
    }
  }

  @Test("give each decision an id of its own")
  func ids() async throws {
    let checks = ToolCallChecks(enabled: all, allowUndecided: false)
    let question = try question()
    let ids = [await checks.decide(question).id, await checks.decide(question).id]
    #expect(ids[0] != ids[1])
  }
}

extension CheckAnswer {
  fileprivate var isAbstention: Bool {
    if case .abstain = self { return true }
    return false
  }
}
