public import CustomResources

/// The one system that is to run, of those that resources declare, and what is to be said of it.
public struct DeclaredSystem: Sendable, Hashable {
  public let resolved: ResolvedSystem
  /// What does not keep it from running, but may not be what was meant.
  public let warnings: [String]

  /// Why none can run.
  public enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
    /// It is not clear which is meant.
    case choice(String)
    /// Objects that are not in force, each with the reason: a cluster would refuse them too.
    case refused([String])

    public var description: String {
      switch self {
      case .choice(let text): text
      case .refused(let lines): lines.joined(separator: "\n")
      }
    }
  }

  /// - Parameter name: its object's name or `namespace/name`; nil when there is only one.
  /// - Throws: `Failure`
  public init(_ resources: [Resource], named name: String? = nil) throws(Failure) {
    var systems: [MultiAgentSystem] = []
    var policies: [CASAPolicy] = []
    for resource in resources {
      switch resource {
      case .system(let system): systems.append(system)
      case .policy(let policy): policies.append(policy)
      }
    }
    let meant = systems.map(\.metadata.reference).filter { reference in
      guard let name else { return true }
      return reference == name || reference.hasSuffix("/" + name) && !name.contains("/")
    }
    let all = systems.isEmpty ? "none" : systems.map(\.metadata.reference).sorted().joined(separator: ", ")
    guard let reference = meant.first else {
      throw .choice("expected \(name.map { "the MultiAgentSystem \($0)" } ?? "a MultiAgentSystem"), got \(all)")
    }
    guard Set(meant).count == 1 else {
      throw .choice("one system runs at a time: say which with --system NAMESPACE/NAME; there are \(all)")
    }
    let resolution = Resolution(systems: systems, policies: policies)
    var refused = resolution.refusedSystems.filter { $0.key == reference }.map { Self.line("MultiAgentSystem", $0) }
    let namespace = reference.prefix { $0 != "/" }
    refused += resolution.policyProblems.filter { $0.key.hasPrefix(namespace + "/") }.map {
      Self.line("CASAPolicy", $0)
    }
    var warnings: [String] = []
    let resolved = resolution.systems.first { $0.object.metadata.reference == reference }
    for problem in resolved?.problems ?? [] {
      let line = Self.line("MultiAgentSystem", (key: reference, value: problem))
      if problem.reason == .noPolicy { warnings.append(line) } else { refused.append(line) }
    }
    guard refused.isEmpty, let resolved else { throw .refused(refused.sorted()) }
    for app in resolved.apps where !app.otherEndpoints.isEmpty {
      let others = app.otherEndpoints.map(\.description).joined(separator: ", ")
      warnings.append("\(app.app.name)'s policy also names \(others), no app of the system: nothing stands for it here")
    }
    self.resolved = resolved
    self.warnings = warnings
  }

  private static func line(_ kind: String, _ problem: (key: String, value: ResourceProblem)) -> String {
    "\(kind) \(problem.key): \(problem.value.reason.rawValue): \(problem.value.message)"
  }
}
