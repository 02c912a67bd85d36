/// The rules of one family as `iptables-save` writes them.
public struct SavedRules: Sendable, Hashable {
  /// Rules by chain by table, without the `-A` and the chain's name.
  private var tables: [String: [String: [String]]] = [:]

  /// Reads what `iptables-save` wrote; lines that are neither a table, a chain nor a rule say nothing.
  public init(parsing text: String) {
    var table: String?
    for line in text.split(whereSeparator: \.isNewline) {
      if line.hasPrefix("*") {
        table = String(line.dropFirst())
      } else if line == "COMMIT" {
        table = nil
      } else if let table, line.hasPrefix(":") {
        let name = line.dropFirst().prefix { $0 != " " }
        tables[table, default: [:]][String(name), default: []] += []
      } else if let table, line.hasPrefix("-A ") {
        let rest = line.dropFirst(3)
        let name = rest.prefix { $0 != " " }
        // Some releases end a rule with a space.
        let rule = rest.dropFirst(name.count).split(separator: " ").joined(separator: " ")
        tables[table, default: [:]][String(name), default: []].append(rule)
      }
    }
  }

  /// A chain's rules in order; nil when there is no such chain.
  public func rules(of chain: String, in table: String) -> [String]? { tables[table]?[chain] }

  /// How many of a chain's rules enter another one without a condition.
  func jumps(to chain: String, from hook: String, in table: String) -> Int {
    (rules(of: hook, in: table) ?? []).count { $0 == "-j \(chain)" }
  }

  /// Whether there is any rule at all.
  public var isEmpty: Bool { tables.values.allSatisfy { $0.values.allSatisfy(\.isEmpty) } }
}
