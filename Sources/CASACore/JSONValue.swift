/// A JSON value (RFC 8259) restricted to what I-JSON (RFC 7493) can carry without ambiguity.
///
/// This is data only: the strict parser that makes one from outside bytes and the canonical form (RFC 8785)
/// live in `AgentProtocols`. An object is a dictionary because a parsed object never holds a name twice.
public enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// A finite double. Integers are within ±(2^53 − 1); the parser refuses the others, since two readers
  /// could disagree on their value.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])
}

extension JSONValue {
  /// The member `name` of an object; nil when the value is not an object or has no such member.
  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  public var string: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  public var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  public var array: [JSONValue]? {
    guard case .array(let value) = self else { return nil }
    return value
  }

  public var object: [String: JSONValue]? {
    guard case .object(let value) = self else { return nil }
    return value
  }

  /// The number when it is a whole one within ±(2^53 − 1), else nil.
  public var integer: Int64? {
    guard case .number(let value) = self, value.rounded(.towardZero) == value, abs(value) <= 9_007_199_254_740_991
    else { return nil }
    return Int64(value)
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .number(Double(value)) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }
  /// Of two equal names the last one counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { $1 }))
  }
}
