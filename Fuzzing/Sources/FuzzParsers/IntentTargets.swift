import AgentProtocols
import CASACore

@testable import IntentChecks

/// Reads the input as a user's request and as a tool's result, and looks in it for values of the arguments that it is.
@Sendable func fuzzIntentTexts(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  let passages = Passages.split(text)
  require(passages.allSatisfy { $0.unicodeScalars.count <= Passages.maximumLength }, "a passage is bounded")
  let task = TaskReading(text)
  require(task.clauses.count <= Clauses.maximum, "clauses are bounded")
  let result = ResultReading(text)
  require(result.passages.count <= ResultReading.maximumPassages, "what speaks is bounded")
  var values = ArgumentValue.all(in: ["to": .string(text)])
  if let object = (try? JSONValue(parsing: bytes))?.object { values += ArgumentValue.all(in: object) }
  for value in values.prefix(16) {
    _ = result.searchable.contains(value)
    let coverage = task.searchable.coverage(of: value.text)
    require((0...1).contains(coverage), "coverage is a share")
  }
  let word = Words.split(text).first { $0.allSatisfy(\.isASCII) }
  if let word {
    require(SearchableText("to \(word) it").count(of: SearchableText.Needle(word)) >= 1, "a word is found")
  }
  let effects = ToolEffect.effects(of: ToolDescription(name: text, description: text, inputSchema: .null))
  require(!effects.isEmpty && (!effects.contains(.reads) || effects.count == 1), "a tool reads or does something")
}
