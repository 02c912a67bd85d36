/// A custom resource that does not have the form it must have.
public struct ResourceError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Where, such as `spec.apps[1].name`.
  public let path: String
  public let expected: String
  /// What stands there, cut short; nil when nothing does.
  public let got: String?

  init(_ path: String, expected: String, got: String? = nil) {
    self.path = path
    self.expected = expected
    self.got = got.map { $0.count <= 80 ? $0 : $0.prefix(80) + "…" }
  }

  public var description: String {
    "\(path): expected \(expected), got \(got.map { "`\($0)`" } ?? "nothing")"
  }
}
