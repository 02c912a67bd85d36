import CASACore
import Synchronization

/// What the checks read in a user's task.
struct TaskReading: Sendable {
  let clauses: [String]
  let searchable: SearchableText
  /// Whether the user hands the deciding over to data ("do what the list says").
  let delegates: Bool
  let acts: AskedActs
  /// Whether the text is in a script that the checks' words and the usual models can't read.
  let isForeign: Bool

  init(_ task: String) {
    clauses = Clauses.split(task)
    searchable = SearchableText(task)
    delegates = Phrasing.delegates(task)
    acts = AskedActs(task, delegates: delegates)
    let (letters, foreign) = Phrasing.letters(of: task)
    isForeign = 10 * foreign > 3 * letters
  }
}

/// What the checks read in a tool's result.
struct ResultReading: Sendable {
  /// A passage that says something, rather than a row of data.
  struct Passage: Sendable {
    let text: String
    let isDirective: Bool
    /// Whether it, or one of its neighbours, speaks to the model.
    let isNearAddress: Bool
    /// The passage with the one that it announces ("to this account:").
    let searchable: SearchableText
  }

  let searchable: SearchableText
  let passages: [Passage]
  /// Whether no passage that says something was left out.
  let isWhole: Bool

  static let maximumPassages = 8192
  /// How far around a passage that speaks to the model its words are taken to go on.
  private static let reach = 3
  /// How many words, each on a line of its own, are read as one passage; the next begins in its middle.
  private static let longestRun = 24

  init(_ text: String) {
    searchable = SearchableText(text)
    let unmasked = UnmaskedText.text(text)
    let all = ([unmasked] + UnmaskedText.decoded(in: unmasked)).flatMap { Self.split($0) }
    let addresses = all.map { Phrasing.addressesModel($0.text) }
    var passages: [Passage] = []
    var isWhole = true
    for (index, (passage, isRun)) in all.enumerated() {
      let isDirective = isRun || Phrasing.isDirective(passage)
      // What can't be read may say anything.
      guard isDirective || Phrasing.isProse(passage) || Phrasing.isForeign(passage) else { continue }
      guard passages.count < Self.maximumPassages else {
        isWhole = false
        break
      }
      let near = max(0, index - Self.reach)...min(all.count - 1, index + Self.reach)
      let announced = isDirective && passage.hasSuffix(":") && index + 1 < all.count ? " " + all[index + 1].text : ""
      passages.append(
        Passage(
          text: passage, isDirective: isDirective, isNearAddress: addresses[near].contains(true),
          searchable: SearchableText(passage + announced)))
    }
    (self.passages, self.isWhole) = (passages, isWhole)
  }

  /// The passages of more than a word, and single words that follow one another where they give an order.
  private static func split(_ text: String) -> [(text: String, isRun: Bool)] {
    var passages: [(text: String, isRun: Bool)] = []
    var run: [String] = []
    func end() {
      for start in stride(from: 0, to: run.count, by: longestRun / 2) {
        let part = Array(run[start...].prefix(longestRun))
        if Phrasing.ordersSomewhere(part) { passages.append((part.joined(separator: " "), true)) }
      }
      run.removeAll(keepingCapacity: true)
    }
    for passage in Passages.split(text) {
      if Words.split(passage).count >= 2 || Phrasing.isForeign(passage) {
        end()
        passages.append((passage, false))
      } else if !passage.isEmpty {
        run.append(passage)
      }
    }
    end()
    return passages
  }
}

/// Readings of the texts last used, within a bound on the texts' size.
final class ReadingMemory: Sendable {
  private struct State {
    var tasks = GenerationalCache<String, TaskReading>(capacity: 256)
    var results: [String: ResultReading] = [:]
    var oldResults: [String: ResultReading] = [:]
    var size = 0
  }

  /// In bytes of text; a reading takes several times as much.
  private static let capacity = 8 << 20
  private let state = Mutex(State())

  func reading(ofTask task: String) -> TaskReading {
    if let known = state.withLock({ $0.tasks[task] }) { return known }
    let reading = TaskReading(task)
    state.withLock { $0.tasks[task] = reading }
    return reading
  }

  func reading(of result: ToolResult) -> ResultReading {
    if let known = state.withLock({ state in
      if let young = state.results[result.id] { return young }
      guard let old = state.oldResults.removeValue(forKey: result.id) else { return nil }
      Self.keep(old, of: result, in: &state)
      return old
    }) {
      return known
    }
    let reading = ResultReading(result.text)
    state.withLock { Self.keep(reading, of: result, in: &$0) }
    return reading
  }

  private static func keep(_ reading: ResultReading, of result: ToolResult, in state: inout State) {
    if state.size + result.text.utf8.count > capacity / 2 {
      state.oldResults = state.results
      state.results = [:]
      state.size = 0
    }
    state.size += result.text.utf8.count + 512
    state.results[result.id] = reading
  }
}
