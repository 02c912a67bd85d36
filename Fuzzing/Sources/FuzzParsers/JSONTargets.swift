import AgentProtocols
import CASACore

/// What must be true of a text that was read as JSON, found out without reading it as JSON: brackets, colons and commas
/// outside strings are counted.
struct JSONShape: Equatable {
  var members = 0
  /// Commas.
  var separators = 0
  var containers = 0
  var emptyContainers = 0
  var depth = 0

  init(of bytes: [UInt8]) {
    var (depth, isInString, isEscaped) = (0, false, false)
    var lastMark: UInt8 = 0
    for byte in bytes {
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case 0x20, 0x09, 0x0A, 0x0D: continue
      case UInt8(ascii: "\""): isInString = true
      case UInt8(ascii: ":"): members += 1
      case UInt8(ascii: ","): separators += 1
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        containers += 1
        depth += 1
        self.depth = max(self.depth, depth)
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if lastMark == UInt8(ascii: "{") || lastMark == UInt8(ascii: "[") { emptyContainers += 1 }
      default: break
      }
      lastMark = byte
    }
  }

  init(of value: JSONValue) {
    switch value {
    case .array(let elements): add(elements.map { JSONShape(of: $0) })
    case .object(let values):
      add(values.values.map { JSONShape(of: $0) })
      members += values.count
    default: break
    }
  }

  private mutating func add(_ inner: [JSONShape]) {
    containers = inner.reduce(1) { $0 + $1.containers }
    emptyContainers = inner.reduce(inner.isEmpty ? 1 : 0) { $0 + $1.emptyContainers }
    separators = inner.reduce(max(0, inner.count - 1)) { $0 + $1.separators }
    members = inner.reduce(0) { $0 + $1.members }
    depth = 1 + (inner.map(\.depth).max() ?? 0)
  }

  /// How many values there are: the outermost, and one for each place in a container.
  var values: Int { 1 + separators + containers - emptyContainers }
}

/// The value of a body that a reader accepted. It must be JSON of which nothing is lost: a name that is there twice, or
/// a second value, would show in the counts.
func accepted(_ bytes: [UInt8], limits: JSONLimits = .message) -> JSONValue {
  guard let value = try? JSONValue(parsing: bytes, limits: limits) else {
    fatalError("broken: what is accepted is JSON")
  }
  require(JSONShape(of: bytes) == JSONShape(of: value), "no value of the text is lost or made up")
  return value
}

@Sendable func fuzzJSON(_ bytes: [UInt8]) {
  let limits = JSONLimits(maximumBytes: 1024, maximumDepth: 8, maximumNodes: 64)
  guard (try? JSONValue(parsing: bytes, limits: limits)) != nil else { return }
  let value = accepted(bytes, limits: limits)
  let shape = JSONShape(of: bytes)
  require(bytes.count <= 1024 && shape.depth <= 8 && shape.values <= 64, "the limits hold")
  require(String(validating: bytes, as: UTF8.self) != nil, "the text is UTF-8")
  let canonical = value.canonicalBytes
  let again = accepted(canonical, limits: .generous)
  // By bytes: Swift's own equality takes some different strings for equal.
  require(again.canonicalBytes == canonical, "the canonical form is its own canonical form")
  require(again == value, "the canonical form is the same value")
}

@Sendable func fuzzNumbers(_ bytes: [UInt8]) {
  guard bytes.count == 8 else { return }
  let value = Double(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) })
  guard value.isFinite else { return }
  let text = JSONValue.number(value).canonicalText
  require(Double(text) == value, "a number's text is read as the number")
  guard value.magnitude < 9_007_199_254_740_992 || value.magnitude >= 1e21 else {
    require((try? JSONValue(parsing: text)) == nil, "a number that readers round is refused")
    return
  }
  require((try? JSONValue(parsing: text)) == .number(value), "a number's text is JSON")
}

@Sendable func fuzzJSONPath(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let path = JSONPath(text) else { return }
  require(JSONPath(text) == path, "a path is read the same each time")
  require(path.value(in: .null) == (text == "$" ? .null : nil), "only $ leads to a scalar root")
  require(text.utf8.count <= 1024 && text.utf8.first == UInt8(ascii: "$"), "a path is short and begins with $")
  let root: JSONValue = ["a": [["b": "found"], "x"], "b c": ["d": 1]]
  switch text {
  case "$.a[0].b", "$['a'][0]['b']": require(path.value(in: root) == "found", "the path leads there")
  case "$.a[1]": require(path.value(in: root) == "x", "the path leads there")
  case "$.a[2]", "$.b": require(path.value(in: root) == nil, "there is nothing")
  default: break
  }
}

extension JSONLimits {
  /// A canonical form can be longer than what it was made of: U+0001 takes six bytes in either, but 1e20 one digit each.
  static let generous = JSONLimits(maximumBytes: 16 << 20, maximumDepth: 64, maximumNodes: 200_000)
}
