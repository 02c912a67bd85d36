/// What one object is found by among those of its kind.
package struct ObjectKey: Hashable, Sendable, CustomStringConvertible {
  /// nil for an object that belongs to the whole cluster.
  package let namespace: String?
  package let name: String

  package init(namespace: String?, name: String) {
    self.namespace = namespace
    self.name = name
  }

  /// As kubectl and client-go write it: `namespace/name`.
  package var description: String { namespace.map { "\($0)/\(name)" } ?? name }
}

extension ObjectKey: Comparable {
  package static func < (a: Self, b: Self) -> Bool { (a.namespace ?? "", a.name) < (b.namespace ?? "", b.name) }
}
