/// The name of a machine: 1 to 253 characters of `a-z 0-9 - .`, in labels of 1 to 63 that begin and end with a letter
/// or digit (an RFC 1123 subdomain, as Kubernetes names its nodes).
public struct NodeName: Sendable, Hashable, CustomStringConvertible {
  public let text: String

  public init?(_ text: String) {
    guard text.utf8.count <= 253,
      text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy({ Name(String($0)) != nil })
    else { return nil }
    self.text = text
  }

  public var description: String { text }
}
