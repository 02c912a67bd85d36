import CASACore
import Yams

extension ClusterObject {
  /// All objects as one stream of YAML documents, members in the order of their names.
  /// - Throws: what libyaml finds wrong, of which nothing is known.
  public static func yaml(of objects: [ClusterObject]) throws -> String {
    try Yams.serialize(nodes: objects.map { node(of: $0.json) }, width: -1, allowUnicode: true, explicitStart: true)
  }

  private static func node(of value: JSONValue) -> Node {
    switch value {
    case .null: Node("null")
    case .bool(let flag): Node(flag ? "true" : "false")
    case .number(let number): Node(value.integer.map(String.init) ?? String(number))
    case .string(let text): .scalar(Node.Scalar(text, Tag(.str), isPlain(text) ? .plain : .doubleQuoted))
    case .array(let elements):
      .sequence(Node.Sequence(elements.map(node), Tag(.seq), elements.isEmpty ? .flow : .block))
    case .object(let members):
      .mapping(
        Node.Mapping(
          members.sorted { $0.key < $1.key }.map { (node(of: .string($0.key)), node(of: $0.value)) }, Tag(.map),
          members.isEmpty ? .flow : .block))
    }
  }

  /// Whether no reader takes the text for anything but a text.
  private static func isPlain(_ text: String) -> Bool {
    guard let first = text.utf8.first, isLetter(first),
      !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(text.lowercased())
    else { return false }
    return text.utf8.allSatisfy { isLetter($0) || (0x2D...0x39).contains($0) || $0 == UInt8(ascii: "_") }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }
}
