public import CASACore

/// One value among a call's arguments.
public struct ArgumentValue: Sendable, Hashable {
  /// What a value says.
  public enum Kind: Sendable, Hashable {
    /// It names one thing in the world: an address, an account, a URL, a path, a code.
    case identifier
    /// A number that names something, as the parameter's name says.
    case number
    /// A name as people write it, such as a person's or a city's.
    case name
    case date
    /// An amount, a single common word or running text: nothing that says whom or what the call concerns.
    case other
  }

  /// The name of the call's parameter.
  public let parameter: String
  public let text: String
  public let kind: Kind
  /// The value when it is a number.
  public let number: Double?
  /// Whether the value is long text, which no one compares as a whole.
  public let isProse: Bool
  /// Whether the parameter's name says that the value is where something is.
  private var isPlace = false

  /// Whether it names one thing in the world, or a number that does.
  var isSpecific: Bool { kind == .identifier || kind == .number }

  /// Whether something may be fetched from there, or be carried there by asking.
  var isAddress: Bool {
    Identifiers.isURL(text) || Identifiers.leadsElsewhere(text) || isPlace && text.contains { ".:/\\".contains($0) }
  }

  /// The values of a call's arguments, those within arrays and objects too, and the identifiers within longer texts.
  public static func all(in arguments: [String: JSONValue]) -> [ArgumentValue] {
    var values: [ArgumentValue] = []
    for (parameter, value) in arguments.sorted(by: { $0.key < $1.key }) {
      append(value, of: parameter, named: parameter, to: &values, depth: 0)
    }
    return values
  }

  /// More are not looked at; a call with more is refused by the check.
  static let maximum = 256

  /// - Parameters:
  ///   - parameter: the call's, for people.
  ///   - name: the innermost one, which says what the value is.
  private static func append(
    _ value: JSONValue, of parameter: String, named name: String, to values: inout [ArgumentValue], depth: Int
  ) {
    guard values.count <= maximum, depth < 64 else { return }
    switch value {
    case .null, .bool: return
    case .array(let elements):
      for element in elements { append(element, of: parameter, named: name, to: &values, depth: depth + 1) }
    case .object(let members):
      for (key, member) in members.sorted(by: { $0.key < $1.key }) {
        // Whom something is granted to may be a key.
        values += Identifiers.find(in: key).map { ArgumentValue(parameter, $0, .identifier) }
        append(member, of: parameter, named: key, to: &values, depth: depth + 1)
      }
    case .number(let number): values.append(ArgumentValue(number, of: parameter, named: name))
    case .string(let string):
      let text = string.trimmingWhitespace
      let start = values.count
      defer { if isPlaceName(name) { for index in start..<values.count { values[index].isPlace = true } } }
      guard !text.isEmpty else { return }
      if let number = plainNumber(text) { return values.append(ArgumentValue(number, of: parameter, named: name)) }
      let found = Identifiers.find(in: text)
      let isProse = isProseName(name)
      if !isProse, Identifiers.isDate(text) {
        return values.append(ArgumentValue(parameter, String(text.prefix(10)), .date))
      }
      if let first = found.first, text.utf8.count <= first.utf8.count + 2 {
        return values.append(ArgumentValue(parameter, first, .identifier))
      }
      for identifier in found where values.count <= maximum {
        values.append(ArgumentValue(parameter, identifier, .identifier))
      }
      append(text: text, of: parameter, isProse: isProse, to: &values)
    }
  }

  private static func append(text: String, of parameter: String, isProse: Bool, to values: inout [ArgumentValue]) {
    let words = text.split(whereSeparator: \.isWhitespace)
    if isProse || words.count > 6 {
      // In a long command, say, each word that machines would read names something.
      if !isProse {
        for word in words where values.count <= maximum && Identifiers.isIdentifier(String(word)) {
          values.append(ArgumentValue(parameter, String(word), .identifier))
        }
      }
      values.append(ArgumentValue(parameter, text, .other, isProse: true))
    } else if text.utf8.count <= 14, text.utf8.allSatisfy({ (0x61...0x7A).contains($0) }) {
      values.append(ArgumentValue(parameter, text, .other))
    } else {
      values.append(ArgumentValue(parameter, text, Identifiers.isIdentifier(text) ? .identifier : .name))
    }
  }

  private init(_ parameter: String, _ text: String, _ kind: Kind, number: Double? = nil, isProse: Bool = false) {
    self.parameter = parameter
    self.text = text
    self.kind = kind
    self.number = number
    self.isProse = isProse
  }

  private init(_ number: Double, of parameter: String, named name: String) {
    let last = Words.split(Words.humanized(name)).last ?? ""
    let isWhole = number == number.rounded() && abs(number) < 1e15
    let isLong = isWhole && abs(number) >= 100_000 && !Self.amounts.contains(last)
    self.init(
      parameter, isWhole ? String(Int64(number)) : "\(number)",
      Self.numbering.contains(last) || isLong ? .number : .other, number: number)
  }

  private static let numbering: Set<String> = ["id", "ids", "uuid", "key", "number", "no", "ref", "code"]
  /// What a long number is that names nothing.
  private static let amounts: Set<String> = [
    "amount", "price", "total", "limit", "size", "count", "budget", "sum", "salary", "quantity", "balance", "cost",
    "value", "income", "loan", "principal", "payment", "population", "distance",
  ]
  private static let prose: Set<String> = [
    "body", "content", "contents", "message", "text", "description", "subject", "comment", "note", "notes", "reason",
    "caption", "summary",
  ]

  private static let places: Set<String> = [
    "url", "urls", "uri", "link", "links", "href", "host", "hosts", "hostname", "domain", "domains", "website", "site",
    "webhook", "endpoint", "server",
  ]

  private static func isPlaceName(_ name: String) -> Bool {
    places.contains(Words.split(Words.humanized(name)).last ?? "")
  }

  /// By its last word: a `message_id` is no message.
  private static func isProseName(_ name: String) -> Bool {
    prose.contains(Words.split(Words.humanized(name)).last ?? "")
  }

  /// Where an address leads, as a value of its own; nil for what is no address, or nothing but that.
  var host: ArgumentValue? {
    guard isAddress else { return nil }
    let rest = Identifiers.scheme(of: text).map { text.dropFirst($0.count + 1) } ?? Substring(text)
    let authority = rest.drop { "/\\".contains($0) }.prefix { !"/?#\\".contains($0) }
    let host = authority.split(separator: "@").last.map { $0.prefix { $0 != ":" } } ?? ""
    return host.isEmpty || host == text ? nil : ArgumentValue(parameter, String(host), .identifier)
  }

  private static func plainNumber(_ text: String) -> Double? {
    let digits = text.hasPrefix("-") ? text.dropFirst() : Substring(text)
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count <= 2, digits.utf8.count <= 17,
      parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
    else { return nil }
    return Double(text)
  }
}

extension String {
  var trimmingWhitespace: String {
    guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace }) else {
      return ""
    }
    return String(self[first...last])
  }
}
