public import CASACore

extension WorkloadPolicy {
  /// What it may do, a line for each thing.
  public var lines: [String] {
    var lines: [String] = []
    if let proxy { lines.append("proxy     \(proxy)") }
    if let llm { lines.append("llm       \(llm)\(llm.usesTLS ? "" : " without TLS")") }
    for name in resolvable { lines.append("resolve   \(name)") }
    for rule in rules { lines.append("rule \(rule.number)    \(rule)") }
    if bindsAnyPort { lines.append("bind      any") }
    return lines
  }
}

extension NodePolicy {
  /// For programs: the same as the lines.
  public func json(of workloads: [WorkloadPolicy]) -> JSONValue {
    [
      "resolvers": .array(resolvers.map { .string($0.description) }),
      "guarded": .array(guarded.map { .string($0.text) }),
      "workloads": .array(
        workloads.map {
          [
            "name": .string($0.name), "selector": .string($0.selector.description),
            "observed_only": .bool($0.isObserved), "lines": .array($0.lines.map(JSONValue.string)),
          ]
        }),
    ]
  }
}
