/// Which names may be asked for: one, or all below one.
public enum NamePattern: Sendable, Hashable, CustomStringConvertible {
  case exact(HostName)
  /// `*.` and the name. The kernel finds it by its last bytes, and so lets the name itself be asked for too.
  case below(HostName)

  /// - Throws: `PolicyError`
  public init(parsing text: String) throws(PolicyError) {
    guard text.utf8.starts(with: "*.".utf8) else {
      self = .exact(try HostName(parsing: text))
      return
    }
    let name = try HostName(parsing: String(text.dropFirst(2)))
    // In the kernel's key such a label's length byte is a digit or hyphen, which could as well belong to a longer
    // label.
    let firstLabel = name.text.utf8.prefix { $0 != UInt8(ascii: ".") }.count
    guard firstLabel != 45, !(48...57).contains(firstLabel) else {
      throw PolicyError(
        "`\(quoted(text))` can't be told from other names, since its first label has \(firstLabel) characters; name the"
          + " hosts one by one")
    }
    self = .below(name)
  }

  public func permits(_ name: HostName) -> Bool {
    switch self {
    case .exact(let host): name == host
    case .below(let host): name == host || name.text.hasSuffix("." + host.text)
    }
  }

  public var description: String {
    switch self {
    case .exact(let name): name.text
    case .below(let name): "*." + name.text
    }
  }
}
