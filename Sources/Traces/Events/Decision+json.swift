public import CASACore

extension Decision {
  /// How a decision stands in a trace and in an answer for machines.
  public var json: JSONValue {
    [
      "decision_id": .string(id.rawValue),
      "verdict": .string(verdict == .allow ? "allow" : "refuse"),
      "reason": {
        if case .refuse(let reason) = verdict { return .string(reason.rawValue) }
        return .null
      }(),
      "checks": .array(results.map(\.json)),
    ]
  }
}

extension CheckResult {
  public var json: JSONValue {
    var members: [String: JSONValue] = [
      "check": .string(check.rawValue), "explanation": .string(explanation),
      "latency_ms": .number((latency.inMilliseconds * 1000).rounded() / 1000),
    ]
    switch answer {
    case .allow: members["answer"] = "allow"
    case .block(let reason):
      members["answer"] = "block"
      members["reason"] = .string(reason.rawValue)
    case .abstain(let why):
      members["answer"] = "abstain"
      members["reason"] = .string(why)
    }
    if let judgement {
      members["score"] = .number((judgement.score * 10_000).rounded() / 10_000)
      members["threshold"] = .number((judgement.threshold * 10_000).rounded() / 10_000)
      members["model"] = judgement.model.map(JSONValue.string) ?? .null
      members["judged"] = .string(String(judgement.text.unicodeScalars.prefix(2048)))
    }
    return .object(members)
  }
}
