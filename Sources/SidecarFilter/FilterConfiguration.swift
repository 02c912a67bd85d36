import AgentProtocols
import CASACore
import Enforcement

/// What Envoy's configuration says to the filter of one listener, as JSON.
struct FilterConfiguration: Sendable {
  /// By which the authorization service knows the sidecar. It never goes into a log.
  let key: [UInt8]
  /// As the authorization service calls it.
  let listener: [UInt8]
  /// Of the authorization service.
  let cluster: [UInt8]
  let point: EnforcementPoint

  enum Fault: String, Error {
    case notJSON = "it is not one JSON object"
    case unknownMember = "it has a member that is not `key`, `listener`, `cluster` or `point`"
    case key = "`key` must be at least 32 printable ASCII characters"
    case listener = "`listener` must be 1 to 64 printable ASCII characters"
    case cluster = "`cluster` must be 1 to 64 printable ASCII characters"
    case point = "`point` is not an enforcement point"
  }

  init(parsing bytes: [UInt8]) throws(Fault) {
    guard let json = try? JSONValue(parsing: bytes), let members = json.object else { throw .notJSON }
    guard members.keys.allSatisfy(["key", "listener", "cluster", "point"].contains) else { throw .unknownMember }
    guard let key = Self.text(json["key"], 32...1024) else { throw .key }
    guard let listener = Self.text(json["listener"], 1...64) else { throw .listener }
    guard let cluster = Self.text(json["cluster"], 1...64) else { throw .cluster }
    guard let point = json["point"].flatMap({ EnforcementPoint(json: $0) }) else { throw .point }
    (self.key, self.listener, self.cluster, self.point) = (key, listener, cluster, point)
  }

  private static func text(_ value: JSONValue?, _ length: ClosedRange<Int>) -> [UInt8]? {
    guard let text = value?.string, length.contains(text.utf8.count),
      text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return nil }
    return Array(text.utf8)
  }
}
