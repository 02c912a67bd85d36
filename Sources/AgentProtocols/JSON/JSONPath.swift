public import CASACore

/// A path to one value: `$`, then members `.name` or `['name']` and elements `[0]`; a small part of RFC 9535 in
/// which every path names at most one value.
public struct JSONPath: Sendable, Hashable {
  private enum Step: Sendable, Hashable {
    case member(String)
    case element(Int)
  }

  private let steps: [Step]
  public static let maximumSteps = 32

  /// nil for anything else.
  public init?(_ text: String) {
    var rest = Array(text.unicodeScalars)[...]
    guard rest.popFirst() == "$", text.utf8.count <= 1024 else { return nil }
    var steps: [Step] = []
    while let mark = rest.popFirst() {
      guard steps.count < Self.maximumSteps else { return nil }
      if mark == "." {
        let name = rest.prefix { $0 != "." && $0 != "[" }
        guard !name.isEmpty, name.allSatisfy({ $0 == "_" || $0 == "-" || $0.properties.isAlphabetic || ("0"..."9").contains($0) })
        else { return nil }
        rest = rest.dropFirst(name.count)
        steps.append(.member(String(String.UnicodeScalarView(name))))
      } else if mark == "[" {
        if rest.first == "'" {
          let name = rest.dropFirst().prefix { $0 != "'" }
          rest = rest.dropFirst(name.count + 1)
          guard rest.popFirst() == "'", rest.popFirst() == "]" else { return nil }
          steps.append(.member(String(String.UnicodeScalarView(name))))
        } else {
          let digits = rest.prefix { ("0"..."9").contains($0) }
          guard (1...6).contains(digits.count), let index = Int(String(String.UnicodeScalarView(digits))) else { return nil }
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
