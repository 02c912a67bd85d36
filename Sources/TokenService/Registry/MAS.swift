public import CASACore
public import IntentChecks

/// A multi-agent system: the unit of tenancy.
public struct MAS: Sendable {
  public let id: MASID
  public let name: Name
  public let createdAt: Timestamp
  /// Who declared it elsewhere, such as a cluster's controller; nil for one that was made by hand. Never changes.
  public let owner: ExternalOwner?
  public var settings: Settings

  /// What an administrator may change.
  public struct Settings: Sendable, Hashable {
    public var enabledToolChecks: Set<CheckName>
    /// Whether a call passes that no check allowed and none blocked.
    public var allowUndecided: Bool
    /// How the checks of intent judge.
    public var intent: IntentPolicy

    /// Whether a check compares calls with what users asked for and what tools answered.
    var asksModels: Bool { enabledToolChecks.contains(where: \.asksModels) }

    public init(
      enabledToolChecks: Set<CheckName> = Set(CheckName.allCases), allowUndecided: Bool = false,
      intent: IntentPolicy = IntentPolicy()
    ) {
      self.enabledToolChecks = enabledToolChecks
      self.allowUndecided = allowUndecided
      self.intent = intent
    }
  }

  public var json: JSONValue {
    var members = settings.json
    members["id"] = .string(id.rawValue)
    members["name"] = .string(name.text)
    members["created_at"] = .string(createdAt.rfc3339)
    members["owner"] = owner.map { .string($0.text) }
    return .object(members)
  }
}

extension MAS.Settings {
  public var json: [String: JSONValue] {
    [
      "enabled_tool_checks": .array(enabledToolChecks.map(\.rawValue).sorted().map(JSONValue.string)),
      "allow_undecided": .bool(allowUndecided), "intent": intent.json,
    ]
  }

  /// Reads settings; absent members take their defaults.
  /// - Throws: `InvalidField` naming the member that is wrong.
  public init(json: JSONValue) throws(InvalidField) {
    self.init()
    if let value = json["enabled_tool_checks"] {
      guard let names = value.array, names.count <= 32 else {
        throw InvalidField("enabled_tool_checks", expected: "an array of check names")
      }
      let known = CheckName.allCases.map(\.rawValue).joined(separator: ", ")
      var checks: Set<CheckName> = []
      for name in names {
        guard let check = name.string.flatMap({ CheckName(rawValue: $0) }) else {
          throw InvalidField("enabled_tool_checks", expected: "names among \(known)")
        }
        checks.insert(check)
      }
      enabledToolChecks = checks
    }
    if let value = json["allow_undecided"] {
      guard let flag = value.bool else { throw InvalidField("allow_undecided", expected: "true or false") }
      allowUndecided = flag
    }
    if let value = json["intent"] { intent = try IntentPolicy(json: value) }
  }
}
