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

  /// The values of a call's arguments, those within arrays and objects too, and the identifiers within longer texts.
  public static func all(in arguments: [String: JSONValue]) -> [ArgumentValue] {
    var values: [ArgumentValue] = []
    for (parameter, value) in arguments.sorted(by: { $0.key < $1.key }) {
      append(value, of: parameter, to: &values, depth: 0)
    }
    return values
  }

  /// More are not looked at; a call with more is refused by the check.
  static let maximum = 256

  private static func append(
    _ value: JSONValue, of parameter: String, to values: inout [ArgumentValue], depth: Int
  ) {
    guard values.count <= maximum, depth < 64 else { return }
    switch value {
    case .null, .bool: return
    case .array(let elements): for element in elements { append(element, of: parameter, to: &values, depth: depth + 1) }
    case .object(let members):
      for (_, member) in members.sorted(by: { $0.key < $1.key }) {
        append(member, of: parameter, to: &values, depth: depth + 1)
      }
    case .number(let number): values.append(ArgumentValue(number, of: parameter))
    case .string(let string):
      let text = string.trimmingWhitespace
      guard !text.isEmpty else { return }
      if let number = plainNumber(text) { return values.append(ArgumentValue(number, of: parameter)) }
      let found = Identifiers.find(in: text)
      let isProse = isProseParameter(parameter)
      if !isProse, Identifiers.beginsWithDate(text) {
        return values.append(ArgumentValue(parameter, String(text.prefix(10)), .date))
      }
      if let first = found.first, text.count <= first.count + 2 {
        return values.append(ArgumentValue(parameter, first, .identifier))
      }
      for identifier in found where values.count <= maximum {
        values.append(ArgumentValue(parameter, identifier, .identifier))
      }
      values.append(ArgumentValue(text: text, of: parameter, isProse: isProse))
    }
  }

  private init(_ parameter: String, _ text: String, _ kind: Kind, number: Double? = nil, isProse: Bool = false) {
    self.parameter = parameter
    self.text = text
    self.kind = kind
    self.number = number
    self.isProse = isProse
  }

  private init(_ number: Double, of parameter: String) {
    let name = Words.split(Words.humanized(parameter)).last ?? ""
    let text = number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : "\(number)"
    self.init(parameter, text, Self.numbering.contains(name) ? .number : .other, number: number)
  }

  private init(text: String, of parameter: String, isProse: Bool) {
    if isProse || text.split(whereSeparator: \.isWhitespace).count > 6 {
      self.init(parameter, text, .other, isProse: true)
    } else if text.utf8.count <= 14, text.utf8.allSatisfy({ (0x61...0x7A).contains($0) }) {
      self.init(parameter, text, .other)
    } else {
      self.init(parameter, text, Identifiers.isIdentifier(text) ? .identifier : .name)
    }
  }

  private static let numbering: Set<String> = ["id", "ids", "uuid", "key", "number", "no", "ref", "code"]
  private static let prose = [
    "body", "content", "message", "text", "description", "subject", "comment", "note", "reason", "caption", "summary",
  ]

  private static func isProseParameter(_ name: String) -> Bool {
    let name = name.lowercased()
    return prose.contains { name.contains($0) }
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
