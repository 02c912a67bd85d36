import AgentProtocols
import CASACore

@testable import Traces

/// Reads the input as the query of a request for traces, and as a prompt whose words are found.
@Sendable func fuzzTraceQuery(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  let words = Facet.words(of: text)
  require(words.count <= Facet.maximumWords, "a prompt is found by a bounded number of words")
  require(Set(words).count == words.count, "each word counts once")
  for word in words.prefix(10) {
    require((1...64).contains(word.utf8.count), "a word is bounded")
    require(Facet.words(of: word) == [word] || word.unicodeScalars.count > 1, "a word is found by itself")
  }
  if let moment = Timestamp(rfc3339: text) {
    require(Timestamp(rfc3339: moment.rfc3339) == moment, "a moment reads as it is written")
  }
  guard let form = try? FormBody(parsing: bytes) else { return }
  var parameters: [String: String] = [:]
  for name in form.names { parameters[name] = form[name] }
  let known: Set<String> = [
    "mas_id", "app_id", "session", "tool", "verdict", "reason", "kind", "from", "to", "text", "before", "after",
    "limit",
  ]
  guard let query = try? TraceQuery(parameters, known: known) else { return }
  require((1...TraceQuery.maximumLimit).contains(query.limit), "a page is bounded")
  require((query.before ?? 0) >= 0 && (query.after ?? 0) >= 0, "places are not negative")
  require(parameters.keys.allSatisfy(known.contains), "no unknown filter is left out")
  if let from = query.from, let to = query.to { require(from < to, "a span has a length") }
}
