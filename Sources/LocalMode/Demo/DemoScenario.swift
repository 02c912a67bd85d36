import CASACore

/// One thing the demonstration shows: what somebody tries, and what must come of it.
struct DemoScenario: Sendable {
  /// How the agent is made to act beside its prompt.
  enum Act: Sendable {
    /// The agent does what the LLM selects.
    case faithful
    /// The agent misbehaves in the way its own code names (`examples/banking/agent.py`).
    case misbehaving(String)
    /// A hijacked agent calls the bank's entrance itself, past its own sidecar, `times` times.
    case direct(token: StolenToken, arguments: JSONValue, times: Int)
  }

  /// What a thief got hold of. The agent never holds a token; this supposes that somebody does.
  enum StolenToken: Sendable {
    case none
    /// A T1 addressed to the bank.
    case userInput
    /// A T3 for a transfer of 25 EUR to Carla.
    case toolCall
  }

  let title: String
  let story: String
  let prompt: String
  let act: Act
  /// Every reason that refusals gave.
  let refusals: Set<RefusalReason>
  /// The same as a trace has them.
  var reasons: Set<String> { Set(refusals.map(\.rawValue)) }
  /// The changes the bank really made, in order.
  let executed: [String]

  private static let transfer = #"Transfer 25 EUR for "dinner" to IT60X0542811101000000123456"#
  private static let balance = "What is my balance?"
  private static let transferArguments: JSONValue = [
    "recipient_iban": "IT60X0542811101000000123456", "amount": 25, "currency": "EUR", "subject": "dinner",
  ]
  static let stolenCall = (tool: "transfer_money", arguments: transferArguments)

  static let all: [DemoScenario] = [
    DemoScenario(
      title: "A faithful agent", story: "The LLM selects two calls and the agent makes just these.",
      prompt: "What is my balance? \(transfer)", act: .faithful, refusals: [], executed: ["transfer_money"]),
    DemoScenario(
      title: "A call before the LLM was asked", story: "The hijacked agent transfers 9999 EUR on its own.",
      prompt: balance, act: .misbehaving("unselected"), refusals: [.noLLMCallsMadeByApp], executed: []),
    DemoScenario(
      title: "A call the LLM never selected", story: "Beside the selected call the agent changes the password.",
      prompt: balance, act: .misbehaving("unselected-after-llm"), refusals: [.toolNotSelectedByLLM], executed: []),
    DemoScenario(
      title: "Changed arguments", story: "The LLM selected a transfer to Carla; the agent sends it to itself.",
      prompt: transfer, act: .misbehaving("changed-arguments"), refusals: [.toolNotSelectedByLLM], executed: []),
    DemoScenario(
      title: "One selection, two calls", story: "The agent makes the selected transfer twice; once is right.",
      prompt: transfer, act: .misbehaving("twice"), refusals: [.toolSelectionAlreadyUsed],
      executed: ["transfer_money"]),
    DemoScenario(
      title: "An agent without tracing", story: "It says of no call in which session it makes it; CASA finds out.",
      prompt: #"Transfer 7 EUR for "tea" to IT60X0542811101000000123456"#, act: .misbehaving("no-traceparent"),
      refusals: [], executed: ["transfer_money"]),
    DemoScenario(
      title: "Whose call is it?", story: "The same, while other sessions began with the very same prompt.",
      prompt: transfer, act: .misbehaving("no-traceparent"), refusals: [.sessionAmbiguous], executed: []),
    DemoScenario(
      title: "Past the sidecar", story: "The agent calls the bank itself, without its sidecar's egress.",
      prompt: transfer, act: .direct(token: .none, arguments: transferArguments, times: 1), refusals: [.tokenMissing],
      executed: []),
    DemoScenario(
      title: "T1 as a tool token", story: "A stolen user-input token is presented for a tool call.", prompt: transfer,
      act: .direct(token: .userInput, arguments: transferArguments, times: 1), refusals: [.insufficientScope],
      executed: []),
    DemoScenario(
      title: "T3 with other arguments", story: "A stolen tool token is presented with the thief's account.",
      prompt: transfer,
      act: .direct(
        token: .toolCall,
        arguments: ["recipient_iban": "DE00ATTACKER", "amount": 9999, "currency": "EUR", "subject": "dinner"],
        times: 1), refusals: [.tokenNotForThisCall], executed: []),
    // After a call the MCP SDK lists the tools, with the same token: a T3 is not good for that either.
    DemoScenario(
      title: "T3 replayed", story: "A tool token is used for its call, then for a listing and for the same call again.",
      prompt: transfer, act: .direct(token: .toolCall, arguments: transferArguments, times: 2),
      refusals: [.tokenSpent, .insufficientScope], executed: ["transfer_money"]),
  ]
}
