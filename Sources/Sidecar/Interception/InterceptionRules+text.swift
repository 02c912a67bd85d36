import AgentProtocols
import CASACore

extension InterceptionRules {
  /// What `iptables-restore --noflush` has to read so that `saved` becomes as it must be; nil when it is so already.
  /// Tables that deny come first, each is set as a whole or not at all.
  public func restoreInput(_ family: IPFamily, over saved: SavedRules) -> String? {
    let chains = chains(family)
    guard !missing(family, from: saved).isEmpty else { return nil }
    var text = ""
    for table in Self.tables {
      text += "*\(table)\n"
      let own = chains.filter { $0.table == table }
      for chain in own { text += ":\(chain.name) - [0:0]\n" }
      for chain in own {
        for rule in chain.rules { text += "-A \(chain.name) \(rule)\n" }
        let jumps = saved.jumps(to: chain.name, from: chain.hook, in: table)
        for _ in 0..<jumps { text += "-D \(chain.hook) \(chain.jump)\n" }
        text += "-I \(chain.hook) 1 \(chain.jump)\n"
      }
      text += "COMMIT\n"
    }
    return text
  }

  /// What is not in `saved` as it must be, in words; empty when all is.
  public func missing(_ family: IPFamily, from saved: SavedRules) -> [String] {
    chains(family).flatMap { chain -> [String] in
      let place = "\(family.rawValue) \(chain.table) \(chain.name)"
      guard let found = saved.rules(of: chain.name, in: chain.table) else { return ["\(place): no such chain"] }
      var missing: [String] = []
      if found != chain.rules {
        let index = zip(found, chain.rules).prefix { $0 == $1 }.count
        let expected = index < chain.rules.count ? "`\(chain.rules[index])`" : "no further rule"
        let came = index < found.count ? "`\(found[index])`" : "none"
        missing.append("\(place): rule \(index + 1) must be \(expected), is \(came)")
      }
      if saved.rules(of: chain.hook, in: chain.table)?.first != chain.jump
        || saved.jumps(to: chain.name, from: chain.hook, in: chain.table) != 1
      {
        missing.append("\(place): must be entered once, by the first rule of \(chain.hook)")
      }
      return missing
    }
  }

  /// What `iptables-restore --noflush` has to read so that nothing of ours is left in `saved`; nil when nothing is.
  /// What redirects goes first, so that nothing passes unasked meanwhile.
  public static func removalInput(from saved: SavedRules) -> String? {
    var text = ""
    for table in tables.reversed() {
      let own = names.filter { $0.table == table && saved.rules(of: $0.name, in: table) != nil }
      guard !own.isEmpty else { continue }
      text += "*\(table)\n"
      for chain in own { text += ":\(chain.name) - [0:0]\n" }
      for chain in own {
        for _ in 0..<saved.jumps(to: chain.name, from: chain.hook, in: table) {
          text += "-D \(chain.hook) -j \(chain.name)\n"
        }
      }
      for chain in own { text += "-X \(chain.name)\n" }
      text += "COMMIT\n"
    }
    return text.isEmpty ? nil : text
  }

  /// The chains of both families, for programs to read.
  public var json: String {
    func chains(_ family: IPFamily) -> JSONValue {
      .array(
        self.chains(family).map { chain in
          [
            "table": .string(chain.table), "entered_from": .string(chain.hook), "chain": .string(chain.name),
            "rules": .array(chain.rules.map(JSONValue.string)),
          ]
        })
    }
    return JSONValue.object(["ipv4": chains(.ipv4), "ipv6": chains(.ipv6)]).canonicalText
  }

  static let tables = ["filter", "mangle", "nat"]
}
