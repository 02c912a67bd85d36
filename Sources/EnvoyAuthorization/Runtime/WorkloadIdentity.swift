import AgentProtocols
import CASACore
import Synchronization

/// Who the workload is, as the runtime knows it.
struct WorkloadIdentity: Sendable {
  struct Peer: Sendable {
    let id: AppID
    let kind: AppKind
  }

  let id: AppID
  let masID: MASID
  let name: Name
  let kind: AppKind
  let promptJSONPath: JSONPath?
  let peers: [Name: Peer]

  /// nil when the runtime's description is not one.
  init?(_ json: JSONValue) {
    guard let id = json["id"]?.string.flatMap({ AppID(validating: $0) }),
      let masID = json["mas_id"]?.string.flatMap({ MASID(validating: $0) }),
      let name = json["name"]?.string.flatMap({ Name($0) }),
      let kind = json["kind"]?.string.flatMap({ AppKind(rawValue: $0) }), let list = json["peers"]?.array
    else { return nil }
    var peers: [Name: Peer] = [:]
    for element in list {
      guard let id = element["id"]?.string.flatMap({ AppID(validating: $0) }),
        let name = element["name"]?.string.flatMap({ Name($0) }),
        let kind = element["kind"]?.string.flatMap({ AppKind(rawValue: $0) })
      else { return nil }
      peers[name] = Peer(id: id, kind: kind)
    }
    self.id = id
    self.masID = masID
    self.name = name
    self.kind = kind
    self.peers = peers
    promptJSONPath = json["prompt_json_path"]?.string.flatMap { JSONPath($0) }
  }
}

/// Asks the runtime who the workload is, and again now and then: apps come and go.
final class IdentitySource: Sendable {
  private static let freshFor = Duration.seconds(60)

  private let known = Mutex<(identity: WorkloadIdentity, until: ContinuousClock.Instant)?>(nil)
  private let runtime: RuntimeClient

  init(runtime: RuntimeClient) { self.runtime = runtime }

  /// - Throws: `Refusal` when the runtime never said.
  func identity() async throws(Refusal) -> WorkloadIdentity {
    let cached = known.withLock { $0 }
    if let cached, cached.until > .now { return cached.identity }
    do {
      return try await refresh()
    } catch {
      // An old answer is as true as a new one for calls whose tokens the runtime granted meanwhile.
      if let cached, error.reason == .runtimeUnavailable { return cached.identity }
      throw error
    }
  }

  /// The named app, asking again when it was not there before.
  func peer(_ name: Name) async throws(Refusal) -> WorkloadIdentity.Peer {
    if let peer = try await identity().peers[name] { return peer }
    guard let peer = try await refresh().peers[name] else {
      throw Refusal(.destinationNotAllowed, "the MAS has no app named \(name)")
    }
    return peer
  }

  private func refresh() async throws(Refusal) -> WorkloadIdentity {
    guard let identity = WorkloadIdentity(try await runtime.selfDescription()) else {
      throw Refusal(.runtimeUnavailable, "the runtime's description of this workload can't be read")
    }
    known.withLock { $0 = (identity, .now + Self.freshFor) }
    return identity
  }
}
