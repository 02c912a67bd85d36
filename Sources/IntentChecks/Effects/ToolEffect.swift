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
      Verbs.reading.contains(head)
      || !Verbs.acting.contains(head) && headOfSentence.contains(where: Verbs.reading.contains)
    var effects: Set<ToolEffect> = []
    if !isRead {
      var verbs = name + sentence.prefix(2)
      let words = Words.split(tool.description)
      for (index, word) in words.enumerated() where Self.furthering.contains(word) {
        let next = words.dropFirst(index + 1).first { $0 != "also" }
        if let next { verbs.append(next) }
      }
      for verb in verbs.flatMap(Words.bases) {
        for (effect, itsVerbs) in Verbs.byEffect where itsVerbs.contains(verb) { effects.insert(effect) }
      }
      if effects.isEmpty, tool.hints.readOnly != true { effects = [.writes] }
    }
    if effects.isEmpty, tool.hints.destructive == true { effects = [.deletes] }
    if effects.isEmpty, tool.hints.readOnly == false { effects = [.writes] }
    return effects.isEmpty ? [.reads] : effects
  }

  /// Words after which a description names one more thing that the tool does.
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
