public import CASACore

/// A path to one value: `$`, then members `.name` or `['name']` and elements `[0]`; a small part of RFC 9535 in
/// which every path names at most one value.
public struct JSONPath: Sendable, Hashable {
  private enum Step: Sendable, Hashable {
    case member(String)
    case element(Int)
  }

  /// The path as it was given.
  public let text: String
  private let steps: [Step]
  /// The most members and elements a path may go through.
  public static let maximumSteps = 32

  /// nil for anything else, for more than `maximumSteps` steps and for more than 1024 bytes. `$` alone is the
  /// whole value; a quoted name has no escapes; an index has up to six digits and no leading zero.
  public init?(_ text: String) {
    guard text.utf8.count <= 1024 else { return nil }
    self.text = text
    var rest = Array(text.unicodeScalars)[...]
    guard rest.popFirst() == "$" else { return nil }
    var steps: [Step] = []
    while let mark = rest.popFirst() {
      guard steps.count < Self.maximumSteps else { return nil }
      if mark == "." {
        let name = rest.prefix { $0 != "." && $0 != "[" }
        guard !name.isEmpty, name.allSatisfy(Self.isPlain) else { return nil }
        rest = rest.dropFirst(name.count)
        steps.append(.member(String(String.UnicodeScalarView(name))))
      } else if mark == "[" {
        if rest.first == "'" {
          let name = rest.dropFirst().prefix { $0 != "'" }
          rest = rest.dropFirst(name.count + 1)
          guard rest.popFirst() == "'", rest.popFirst() == "]", name.allSatisfy({ $0 >= " " && $0 != "\\" }) else {
            return nil
          }
          steps.append(.member(String(String.UnicodeScalarView(name))))
        } else {
          let digits = rest.prefix { ("0"..."9").contains($0) }
          guard (1...6).contains(digits.count), digits.count == 1 || digits.first != "0",
            let index = Int(String(String.UnicodeScalarView(digits)))
          else { return nil }
          rest = rest.dropFirst(digits.count)
          guard rest.popFirst() == "]" else { return nil }
          steps.append(.element(index))
        }
      } else {
        return nil
      }
    }
    self.steps = steps
  }

  /// What can stand in a name without quotes.
  private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar == "-" || ("0"..."9").contains(scalar) || scalar.properties.isAlphabetic
  }

  /// The value the path leads to; nil when `root` has none there.
  public func value(in root: JSONValue) -> JSONValue? {
    var current = root
    for step in steps {
      switch step {
      case .member(let name):
        guard let value = current[name] else { return nil }
        current = value
      case .element(let index):
        guard let elements = current.array, elements.indices.contains(index) else { return nil }
        current = elements[index]
      }
    }
    return current
  }
}
