import AgentProtocols
public import CASACore

/// Labelled tool calls: tasks with the calls that serve them and those that an attacker would have made.
public struct LabelledSuite: Sendable {
  public struct Step: Sendable {
    /// The tool's name as its description has it.
    public let tool: String
    public internal(set) var call: ToolCall
    /// What the tool answered; empty where the source has none.
    public internal(set) var output: String
  }

  public struct Case: Sendable {
    public let id: String
    public let task: String
    public let tools: [ToolDescription]
    /// Calls to be allowed, in order.
    public internal(set) var steps: [Step]
    /// Calls of which at least one is to be blocked; they are made after `steps`.
    public internal(set) var attack: [Step]
    /// What the attacker wants, in the attacker's words.
    public let goal: String?
    /// Calls to be allowed after the attack was tried.
    public internal(set) var then: [Step]
  }

  public let name: String
  public let cases: [Case]

  init(name: String, cases: [Case]) {
    self.name = name
    self.cases = cases
  }

  private static let limits = JSONLimits(maximumBytes: 256 << 20, maximumDepth: 64, maximumNodes: 20_000_000)

  /// Reads a suite: `{"name", "tools"?, "cases": [{"id", "task", "tools"?, "steps", "attack", "then"?}]}`.
  /// - Throws: `InvalidField` naming what is wrong.
  public init(parsing bytes: [UInt8]) throws(InvalidField) {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: bytes, limits: Self.limits)
    } catch {
      throw InvalidField("the file", expected: "one JSON object as RFC 8259 has it (\(error))")
    }
    guard let list = json["cases"]?.array else { throw InvalidField("cases", expected: "an array") }
    name = json["name"]?.string ?? "unnamed"
    let common = try json["tools"].map { json throws(InvalidField) in try Self.tools(json, of: "the file") } ?? []
    var cases: [Case] = []
    for (index, element) in list.enumerated() {
      let id = element["id"]?.string ?? "#\(index)"
      guard let task = element["task"]?.string else { throw InvalidField("task", expected: "a text in case \(id)") }
      let tools = try element["tools"].map { json throws(InvalidField) in try Self.tools(json, of: id) } ?? common
      cases.append(
        Case(
          id: id, task: task, tools: tools, steps: try Self.steps(element["steps"], of: id),
          attack: try Self.steps(element["attack"]?["calls"], of: id), goal: element["attack"]?["goal"]?.string,
          then: try Self.steps(element["then"], of: id)))
    }
    self.cases = cases
  }

  private static func tools(_ json: JSONValue, of id: String) throws(InvalidField) -> [ToolDescription] {
    guard let list = json.array else { throw InvalidField("tools", expected: "an array in \(id)") }
    var tools: [ToolDescription] = []
    for tool in list {
      guard let name = tool["name"]?.string else {
        throw InvalidField("tools", expected: "objects with `name` in \(id)")
      }
      tools.append(ToolDescription(name: name, definition: tool))
    }
    return tools
  }

  private static func steps(_ json: JSONValue?, of id: String) throws(InvalidField) -> [Step] {
    guard let json, json != .null else { return [] }
    guard let list = json.array else { throw InvalidField("steps", expected: "an array in case \(id)") }
    var steps: [Step] = []
    for step in list {
      guard let tool = step["tool"]?.string, let arguments = step["arguments"]?.object, let server = Name("suite"),
        let name = ToolName(admissible(tool))
      else { throw InvalidField("steps", expected: "objects with `tool` and `arguments` in case \(id)") }
      let call = ToolCall(server: server, tool: name, arguments: arguments)
      steps.append(Step(tool: tool, call: call, output: step["output"]?.string ?? ""))
    }
    return steps
  }

  /// Some suites have names that MCP would not: the checks compare their words only.
  private static func admissible(_ name: String) -> String {
    String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "_-./".contains($0)) ? $0 : "_" })
  }
}
