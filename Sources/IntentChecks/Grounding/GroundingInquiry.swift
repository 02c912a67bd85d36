import CASACore

/// Where a call's values come from, and which texts may explain the call: all that is found out without a model.
struct GroundingInquiry: Sendable {
  /// Where a value was first seen.
  enum Origin: Sendable, Hashable {
    case request, policy
    /// In a passage of a tool's result that tells somebody to do something.
    case instruction(of: ToolName)
    /// In running text of a tool's result.
    case text(of: ToolName)
    /// In a row, a field, a list of a tool's result.
    case data(of: ToolName)
    /// In nothing that was read, or in data only, while a tool's result is not known as a whole: the rest may say
    /// anything of it.
    case unread(of: ToolName)
    case nowhere
  }

  struct Traced: Sendable {
    let value: ArgumentValue
    let origin: Origin
  }

  /// More passages than that are not compared with the call; those that share most with it are.
  static let maximumPassages = 48
  private static let maximumRendered = 24
  private static let renderedLength = 80

  /// The call in words.
  let rendering: String
  /// The call's identifying values.
  let values: [Traced]
  /// The passages of results that say something and may explain the call.
  let passages: [(tool: ToolName, text: String)]

  init(
    _ tool: ToolDescription, values: [ArgumentValue], task: TaskReading,
    results: [(tool: ToolName, reading: ResultReading)], unread: ToolName?, policy: IntentPolicy
  ) {
    rendering = Self.rendering(of: tool, values)
    let name = tool.name
    // Where the user handed the deciding over to data, orders in it are part of the task; those to the model are not.
    let speaking = results.map { result in
      (result.tool, result.reading.passages.filter { !task.delegates || $0.isNearAddress })
    }
    // What the tool said of calls before, which passed: "the payment was sent" explains another payment well.
    let confirmed = { (tool: ToolName, passage: ResultReading.Passage) in tool.text == name && !passage.isDirective }
    self.values = values.compactMap { value in
      guard value.kind != .other else { return nil }
      let origin = Self.origin(of: value, task: task, results: results, speaking: speaking, policy: policy)
      guard let unread else { return Traced(value: value, origin: origin) }
      switch origin {
      case .nowhere: return Traced(value: value, origin: .unread(of: unread))
      case .data where value.isSpecific: return Traced(value: value, origin: .unread(of: unread))
      default: return Traced(value: value, origin: origin)
      }
    }
    let all = speaking.flatMap { tool, passages in
      passages.filter { !confirmed(tool, $0) }.map { (tool: tool, passage: $0) }
    }
    guard all.count > Self.maximumPassages else {
      passages = all.map { ($0.tool, $0.passage.text) }
      return
    }
    let stems = Words.contentStems(of: rendering)
    let ranked = all.enumerated().map { index, element in
      let shared = stems.count { element.passage.searchable.stems.contains($0) }
      return (rank: 2 * shared + (element.passage.isDirective ? 1 : 0), index: index, element: element)
    }.sorted { ($0.rank, $0.index) > ($1.rank, $1.index) }
    passages = ranked.prefix(Self.maximumPassages).map { ($0.element.tool, $0.element.passage.text) }
  }

  private static func rendering(of tool: ToolDescription, _ values: [ArgumentValue]) -> String {
    let shown = values.filter { !$0.isProse }.prefix(maximumRendered).map {
      "\(Words.humanized(String($0.parameter.unicodeScalars.prefix(renderedLength)))) \(String($0.text.unicodeScalars.prefix(renderedLength)))"
    }
    let sentence = Passages.first(of: tool.description).unicodeScalars.prefix(Passages.maximumLength)
    let name = "\(Words.humanized(tool.name)): \(String(sentence))"
    return shown.isEmpty ? name : name + " " + shown.joined(separator: "; ")
  }

  private static func origin(
    of value: ArgumentValue, task: TaskReading, results: [(tool: ToolName, reading: ResultReading)],
    speaking: [(tool: ToolName, passages: [ResultReading.Passage])], policy: IntentPolicy
  ) -> Origin {
    let needle = SearchableText.Needle(value)
    // Of a name people use some of its words; of an identifier one changed letter makes another.
    let covered = value.kind == .name ? task.searchable.coverage(of: value.text) : 0
    if covered >= 0.99 || task.searchable.contains(needle) { return .request }
    if policy.grounds(value.text) { return .policy }
    // Passages are unmasked, and the value may stand in them as it would be then.
    let unmasked = UnmaskedText.text(value.text)
    let needles = [needle] + (unmasked == value.text ? [] : [SearchableText.Needle(unmasked)])
    func first(where condition: (ResultReading.Passage) -> Bool) -> ToolName? {
      speaking.first { result in
        result.passages.contains { passage in
          condition(passage) && needles.contains { passage.searchable.contains($0) }
        }
      }?.tool
    }
    if let tool = first(where: \.isDirective) {
      if !(value.kind == .name && standsElsewhere(needle, results, speaking)) { return .instruction(of: tool) }
    } else if value.kind != .date, let tool = first(where: { _ in true }) {
      if !(value.kind == .name && standsElsewhere(needle, results, speaking)) { return .text(of: tool) }
    }
    if let tool = results.first(where: { $0.reading.searchable.contains(needle) })?.tool { return .data(of: tool) }
    if value.kind == .date || covered >= 0.6 { return .request }
    // Of an address that was put together, what counts is where it leads.
    guard let host = value.host else { return .nowhere }
    return origin(of: host, task: task, results: results, speaking: speaking, policy: policy)
  }

  /// Whether a plain name stands in data as well as in what is said about it.
  private static func standsElsewhere(
    _ needle: SearchableText.Needle, _ results: [(tool: ToolName, reading: ResultReading)],
    _ speaking: [(tool: ToolName, passages: [ResultReading.Passage])]
  ) -> Bool {
    let everywhere = results.reduce(0) { $0 + $1.reading.searchable.count(of: needle) }
    let said = speaking.reduce(0) { $0 + $1.passages.reduce(0) { $0 + $1.searchable.count(of: needle) } }
    return everywhere > said
  }
}
