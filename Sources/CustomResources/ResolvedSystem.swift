public import CASACore

/// A system with all that its and its policies' objects say together: what the controller, the node guard and local
/// mode carry out.
public struct ResolvedSystem: Sendable, Hashable {
  public let object: MultiAgentSystem
  public let apps: [ResolvedApp]
  /// What keeps apps from working, though the system as a whole does.
  public let problems: [ResourceProblem]
}

/// One app, and whom its policy lets it reach.
public struct ResolvedApp: Sendable, Hashable {
  public let app: MultiAgentSystem.App
  /// nil when no policy names its workload: then it reaches nothing.
  public let policy: CASAPolicy?
  /// The apps that it may call, each with where.
  public let calls: [Call]
  /// The LLM, when both the system and the policy name it.
  public let llm: MultiAgentSystem.LLM?
  /// Whom else its policy lets it reach: Services that are no app of the system. No HTTP goes there; the sidecar lets
  /// only apps and the LLM be called.
  public let otherEndpoints: [ServiceAddress]
  /// Whether others may call it.
  public let isCallable: Bool
  /// Where a plain request to the app carries the user's input. An agent without is called by A2A.
  public let promptJSONPath: String?
  /// The same of all agents that it calls.
  public let callsPromptJSONPath: String?

  public struct Call: Sendable, Hashable {
    public let app: Name
    public let entrance: MultiAgentSystem.Entrance
  }
}

/// Why an object is not, or not wholly, in force.
public struct ResourceProblem: Sendable, Hashable {
  /// For machines: a condition's reason.
  public enum Reason: String, Sendable, Hashable, CaseIterable {
    case invalidSpec = "InvalidSpec"
    /// Another object had the name at the runtime first.
    case nameTaken = "NameTaken"
    /// The workload is another system's.
    case workloadTaken = "WorkloadTaken"
    /// Another policy names the same workload and was there first.
    case targetTaken = "TargetTaken"
    /// No app runs as the workload that the policy names.
    case targetUnknown = "TargetUnknown"
    /// No policy names the app's workload.
    case noPolicy = "NoPolicy"
    /// The policy names another LLM host than the system.
    case llmMismatch = "LLMMismatch"
    /// The policy does not permit the protocol by which the app is called.
    case protocolNotAllowed = "ProtocolNotAllowed"
  }

  public let reason: Reason
  public let message: String

  public init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }
}
