import CASACore

/// A Kubernetes Service and a port of it.
public struct ServiceAddress: Sendable, Hashable, CustomStringConvertible {
  public let namespace: String
  public let name: String
  public let port: Int

  public init(namespace: String, name: String, port: Int) {
    self.namespace = namespace
    self.name = name
    self.port = port
  }

  /// Reads `service[.namespace[.svc[.cluster.local]]][:port]`.
  /// - Parameters:
  ///   - namespace: of whoever writes it; a service without one is of the same.
  ///   - defaultPort: the port when none is written.
  public init?(_ text: String, from namespace: String, defaultPort: Int) {
    let parts = text.lowercased().split(separator: ":", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count) else { return nil }
    var port = defaultPort
    if parts.count == 2 {
      // `Int` takes signs, too.
      guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[1]),
        (1...65535).contains(number)
      else { return nil }
      port = number
    }
    let labels = parts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard labels.allSatisfy({ Name($0) != nil }), let service = labels.first else { return nil }
    // No name of a Service begins with a digit (RFC 1035), so no IP address is taken for one.
    guard let first = service.utf8.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) else { return nil }
    switch labels.count {
    case 1: self.init(namespace: namespace, name: service, port: port)
    case 2,
      3 where labels[2] == "svc", 5 where Array(labels[2...]) == ["svc", "cluster", "local"]:
      self.init(namespace: labels[1], name: service, port: port)
    default: return nil
    }
  }

  /// All the ways in which a workload of `namespace` may write the host, without the port.
  public func hostNames(from namespace: String) -> [String] {
    let qualified = ["\(name).\(self.namespace)", "\(name).\(self.namespace).svc", clusterName]
    return namespace == self.namespace ? [name] + qualified : qualified
  }

  /// The name that resolves everywhere in the cluster.
  public var clusterName: String { "\(name).\(namespace).svc.cluster.local" }

  public var description: String { "\(name).\(namespace):\(port)" }
}
