import AgentProtocols
import CASACore

/// What an API server says of itself.
package struct ServerVersion: Sendable, Hashable {
  package let major: String
  package let minor: String
}

extension KubernetesClient {
  /// - Throws: `KubernetesError`
  package func serverVersion() async throws(KubernetesError) -> ServerVersion {
    let body = try await perform(APIRequest(path: "/version"))
    guard let json = try? JSONValue(parsing: body), let major = json["major"]?.string, let minor = json["minor"]?.string
    else { throw .malformed("/version holds no version") }
    return ServerVersion(major: major, minor: minor)
  }
}
