public import AgentProtocols
public import CASACore

/// A place in the proxy where requests are decided about: where a workload is called, or its way to one destination.
public struct EnforcementPoint: Sendable, Hashable {
  public enum Side: Sendable, Hashable {
    case ingress
    /// To an app of the same MAS, by name.
    case app(Name)
    case llm
  }

  public let side: Side
  /// Of the app or the destination: the path that is open.
  public let path: String
  /// Where a request to an agent carries the user's input, when it is not an A2A message.
  public let promptJSONPath: JSONPath?

  public init(_ side: Side, path: String, promptJSONPath: JSONPath? = nil) {
    self.side = side
    self.path = path
    self.promptJSONPath = promptJSONPath
  }

  public var direction: Direction { side == .ingress ? .ingress : .egress }
}

extension EnforcementPoint {
  public var json: JSONValue {
    var members: [String: JSONValue] = ["path": .string(path)]
    switch side {
    case .ingress: members["side"] = "ingress"
    case .app(let name): (members["side"], members["app"]) = ("app", .string(name.text))
    case .llm: members["side"] = "llm"
    }
    members["prompt_json_path"] = promptJSONPath.map { .string($0.text) }
    return .object(members)
  }

  /// nil unless `json` is exactly such an object.
  public init?(json: JSONValue) {
    guard let path = json["path"]?.string else { return nil }
    var promptPath: JSONPath?
    if let text = json["prompt_json_path"] {
      guard let parsed = text.string.flatMap({ JSONPath($0) }) else { return nil }
      promptPath = parsed
    }
    switch json["side"]?.string {
    case "ingress": self.init(.ingress, path: path, promptJSONPath: promptPath)
    case "llm": self.init(.llm, path: path, promptJSONPath: promptPath)
    case "app":
      guard let name = json["app"]?.string.flatMap({ Name($0) }) else { return nil }
      self.init(.app(name), path: path, promptJSONPath: promptPath)
    default: return nil
    }
  }
}
