import CASACore
public import Enforcement

/// Which of a sidecar's listeners asks.
public enum Listener: Sendable, Hashable {
  case ingress
  case egress(Int)

  public var name: String {
    switch self {
    case .ingress: "ingress"
    case .egress(let index): "egress-\(index)"
    }
  }

  public var direction: Direction {
    switch self {
    case .ingress: .ingress
    case .egress: .egress
    }
  }

  public init?(name: String) {
    if name == "ingress" {
      self = .ingress
    } else if name.hasPrefix("egress-"), let index = Int(name.dropFirst(7)), (0..<1000).contains(index) {
      self = .egress(index)
    } else {
      return nil
    }
  }
}

extension Workload {
  /// Where requests of this workload are decided about.
  public var enforcementPoints: [Listener: EnforcementPoint] {
    var points: [Listener: EnforcementPoint] = [:]
    if let ingress { points[.ingress] = EnforcementPoint(.ingress, path: ingress.app.path) }
    for (index, egress) in egress.enumerated() {
      let side: EnforcementPoint.Side
      switch egress.destination {
      case .app(let name): side = .app(name)
      case .llm: side = .llm
      }
      points[.egress(index)] = EnforcementPoint(side, path: egress.url.path, promptJSONPath: promptJSONPath)
    }
    return points
  }
}
