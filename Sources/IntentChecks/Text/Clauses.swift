/// The parts of what a user asks for: each sentence, and each thing within one ("find the bill and pay it").
enum Clauses {
  /// More of a request is not read apart; the whole stands for the rest.
  static let maximum = 24
  private static let wholeLength = 600
  private static let conjunctions: Set<Substring> = ["and", "then", "but", "or"]
  private static let pairs: Set<Substring> = ["after", "so"]

  static func split(_ task: String) -> [String] {
    var clauses = [String(String.UnicodeScalarView(task.unicodeScalars.prefix(wholeLength)))]
    for sentence in Passages.split(task) {
      clauses.append(sentence)
      let parts = parts(of: sentence)
      if parts.count > 1 { clauses += parts.filter { $0.split(separator: " ").count >= 3 } }
      if clauses.count > 2 * maximum { break }
    }
    var seen: Set<String> = []
    return Array(clauses.filter { !$0.isEmpty && seen.insert($0).inserted }.prefix(maximum))
  }

  private static func parts(of sentence: String) -> [String] {
    var parts: [[Substring]] = [[]]
    let words = sentence.split(whereSeparator: \.isWhitespace)
    var index = 0
    while index < words.count {
      let word = words[index]
      let isPair = pairs.contains(word) && index + 1 < words.count && words[index + 1] == "that"
      let isLast = index == words.count - 1
      if index > 0, !isLast, conjunctions.contains(word) || isPair {
        parts.append([])
        index += isPair ? 2 : 1
        continue
      }
      if let last = parts.last?.last?.last, last == "," || last == ";", word.allSatisfy({ $0.isLetter }),
        word.first?.isLowercase ?? false, !isLast
      {
        parts.append([])
      }
      parts[parts.count - 1].append(word)
      index += 1
    }
    return parts.filter { !$0.isEmpty }.map { $0.joined(separator: " ").trimmingPunctuation }
  }
}

extension String {
  fileprivate var trimmingPunctuation: String {
    var text = self
    while let last = text.last, ",;".contains(last) { text.removeLast() }
    return text
  }
}
