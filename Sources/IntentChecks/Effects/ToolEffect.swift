public import CASACore

/// What a tool does to the world.
public enum ToolEffect: String, Sendable, Hashable, CaseIterable, Codable {
  case reads
  case writes
  /// Hands data to somebody.
  case sends
  case deletes
  case pays
  /// Lets somebody do or see what they could not.
  case grants
}

extension ToolEffect {
  /// What a tool does, as its name and description say. The server's own hints count where they make a tool look more
  /// dangerous, never where they make it look less so: a poisoned definition would say that it only reads.
  ///
  /// - Returns: `[.reads]` for a tool that changes nothing, else all effects but `.reads`; a tool of which nothing can
  ///   be told writes.
  public static func effects(of tool: ToolDescription) -> Set<ToolEffect> {
    let name = Words.split(Words.humanized(tool.name))
    let sentence = Words.split(Passages.first(of: tool.description))
    let head = name.first ?? ""
    let headOfSentence = sentence.first.map(Words.bases) ?? []
    let isRead =
      Verbs.reading.contains(head) && !Self.ambiguous.contains(head)
      || !Verbs.acting.contains(head) && headOfSentence.contains(where: Verbs.reading.contains)
    var effects: Set<ToolEffect> = []
    // "Search and replace" does not only search.
    let further = Self.further(in: name).filter(Verbs.acting.contains)
    if !isRead || !further.isEmpty {
      let verbs = isRead ? further : name + sentence.prefix(2) + Self.further(in: Words.split(tool.description))
      for verb in verbs.flatMap(Words.bases) {
        for (effect, itsVerbs) in Verbs.byEffect where itsVerbs.contains(verb) { effects.insert(effect) }
      }
      if effects.isEmpty, tool.hints.readOnly != true { effects = [.writes] }
    }
    if effects.isEmpty, tool.hints.destructive == true { effects = [.deletes] }
    if effects.isEmpty, tool.hints.readOnly == false { effects = [.writes] }
    return effects.isEmpty ? [.reads] : effects
  }

  /// Words that may begin the name of a tool that acts: an order is returned, a database is queried.
  private static let ambiguous: Set<String> = ["return", "query", "select"]

  private static func further(in words: [String]) -> [String] {
    words.indices.compactMap { index in
      guard furthering.contains(words[index]) else { return nil }
      return words.dropFirst(index + 1).first { $0 != "also" }
    }
  }

  /// Words after which one more thing is named that the tool does.
  private static let furthering: Set<String> = ["also", "and", "will", "then"]
}

/// What is known of a tool before it is called: what its server says of it.
public struct ToolDescription: Sendable, Hashable {
  /// MCP's annotations of a tool: claims of its server.
  public struct Hints: Sendable, Hashable {
    public var readOnly: Bool?
    public var destructive: Bool?

    public init(readOnly: Bool? = nil, destructive: Bool? = nil) {
      self.readOnly = readOnly
      self.destructive = destructive
    }
  }

  public let name: String
  public let description: String
  /// The tool's JSON Schema; null when there is none.
  public let inputSchema: JSONValue
  public let hints: Hints

  /// The texts that the schema lists as choices for a parameter: choosing one of them names nothing.
  func choices() -> Set<String> {
    var choices: Set<String> = []
    var rest = [inputSchema]
    // As deep and as wide as the parser lets a definition be.
    while let schema = rest.popLast() {
      switch schema {
      case .object(let members):
        choices.formUnion((members["enum"]?.array ?? []).compactMap(\.string))
        rest += members.values
      case .array(let elements): rest += elements
      case .null, .bool, .number, .string: break
      }
    }
    return choices
  }

  public init(name: String, description: String, inputSchema: JSONValue, hints: Hints = Hints()) {
    self.name = name
    self.description = description
    self.inputSchema = inputSchema
    self.hints = hints
  }

  /// Reads a tool as an MCP server lists it.
  public init(name: String, definition: JSONValue) {
    let annotations = definition["annotations"]
    self.init(
      name: name, description: definition["description"]?.string ?? "",
      inputSchema: definition["inputSchema"] ?? .null,
      hints: Hints(
        readOnly: annotations?["readOnlyHint"]?.bool, destructive: annotations?["destructiveHint"]?.bool))
  }
}
