public import CASACore

/// How a MAS wants intent to be judged.
public struct IntentPolicy: Sendable, Hashable {
  public var strategy = MatchStrategy.embeddings
  /// What tools do, where their descriptions don't say it rightly.
  public var toolEffects: [ToolName: Set<ToolEffect>] = [:]
  /// Values that calls may name whatever the user said: one's own accounts, addresses, paths. `*@example.com` stands
  /// for all addresses of a domain.
  public var groundedValues: [String] = []
  /// The MAS's own calibration; nil for the standard one.
  public var calibration: Calibration?
  /// After so many calls that a check of intent refused, none passes any more in the session; 1 to 1000.
  public var maximumNearMisses = 5

  public init() {}

  /// What the policy says a tool does, or else what its definition tells.
  public func effects(of tool: ToolDescription) -> Set<ToolEffect> {
    ToolName(tool.name).flatMap { toolEffects[$0] } ?? ToolEffect.effects(of: tool)
  }

  /// Whether a call only reads, and from no address that it brings itself, which could carry something away.
  public func isPlainRead(_ call: ToolCall, of tool: ToolDescription) -> Bool {
    guard effects(of: tool) == [.reads] else { return false }
    let values = ArgumentValue.all(in: call.arguments)
    return values.count <= ArgumentValue.maximum && !values.contains(where: \.isAddress)
  }

  /// Whether policy vouches for a value.
  func grounds(_ value: String) -> Bool {
    let value = SearchableText.normalized(value)
    return groundedValues.contains {
      let known = SearchableText.normalized($0)
      guard known.hasPrefix("*@") else { return known == value }
      return value.hasSuffix(known.dropFirst()) && value.count { $0 == "@" } == 1
        && !value.contains { $0.isWhitespace || "/:?#&".contains($0) }
    }
  }
}

/// What `AI_POWERED_TOOL_MATCH` asks.
public enum MatchStrategy: String, Sendable, Hashable, CaseIterable {
  /// A model that turns texts into points; fast and local.
  case embeddings
  /// An LLM.
  case llmVerifier = "llm_verifier"
  /// Embeddings, and the LLM where they leave a doubt.
  case hybrid
}
