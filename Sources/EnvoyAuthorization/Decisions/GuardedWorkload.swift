import AgentProtocols
import AsyncHTTPClient
import CASACore
import Crypto
import Foundation
import Logging
import Sidecar

/// One workload behind a sidecar: what decides about every request that enters or leaves it.
final class GuardedWorkload: Sendable {
  let workload: Workload
  let runtime: RuntimeClient
  let identities: IdentitySource
  let introspections: IntrospectionCache
  let tokens: SessionTokens
  let reporter: CallReporter
  /// The LLM's API keys by listener, for those the sidecar keeps.
  let apiKeys: [String: String]
  let clock: WallClock

  /// - Throws: `ConfigurationError` when a secret can't be read.
  init(_ workload: Workload, http: HTTPClient, clock: WallClock, logger: Logger) throws(ConfigurationError) {
    let secret = try SecretFile.read(workload.clientSecretFile, what: "the app's client secret")
    var keys: [String: String] = [:]
    for (index, egress) in workload.egress.enumerated() {
      guard case .llm(let file?) = egress.destination else { continue }
      keys[Listener.egress(index).name] = try SecretFile.read(file, what: "the LLM's API key")
    }
    apiKeys = keys
    self.workload = workload
    self.clock = clock
    var base = workload.runtime.description
    while base.hasSuffix("/") { base.removeLast() }
    // Identifiers and secrets are of characters that form encoding leaves as they are.
    let basic = Data("\(workload.clientID):\(secret)".utf8).base64EncodedString()
    runtime = RuntimeClient(http: http, baseURL: base, authorization: "Basic " + basic, clock: clock)
    identities = IdentitySource(runtime: runtime)
    introspections = IntrospectionCache(clock: clock)
    tokens = SessionTokens(clock: clock)
    reporter = CallReporter(runtime: runtime, logger: logger)
  }

  /// Decides about a request at `listener` and records what was decided.
  func decide(
    _ request: InterceptedRequest, at listener: Listener
  ) async -> (result: Result<Admission, Refusal>, record: RequestRecord) {
    let start = ContinuousClock.now
    var record = RequestRecord(direction: listener.direction)
    let result: Result<Admission, Refusal>
    do throws(Refusal) {
      switch listener {
      case .ingress:
        guard let ingress = workload.ingress else {
          throw Refusal(.destinationNotAllowed, "this workload takes no calls")
        }
        result = .success(try await admit(request, at: ingress, record: &record))
      case .egress(let index):
        guard workload.egress.indices.contains(index) else {
          throw Refusal(.destinationNotAllowed, "this workload has no such destination")
        }
        result = .success(
          try await release(request, to: workload.egress[index], listener: listener, record: &record))
      }
    } catch {
      result = .failure(error)
    }
    if case .failure(let refusal) = result { record.requestID = record.requestID ?? refusal.requestID }
    if case .success(let admission) = result {
      record.tokenHash = admission.tokenHash ?? record.tokenHash
      record.userInputID = admission.userInputID ?? record.userInputID
    }
    let refusal: Refusal? = if case .failure(let refusal) = result { refusal } else { nil }
    let decisionID = refusal?.decisionID ?? (try? result.get())?.decisionID
    reporter.report(record, refusal: refusal, decisionID: decisionID, latency: ContinuousClock.now - start)
    return (result, record)
  }
}

/// Which of a sidecar's listeners asks.
enum Listener: Sendable, Hashable {
  case ingress
  case egress(Int)

  var name: String {
    switch self {
    case .ingress: "ingress"
    case .egress(let index): "egress-\(index)"
    }
  }

  var direction: String {
    switch self {
    case .ingress: "ingress"
    case .egress: "egress"
    }
  }

  init?(name: String) {
    if name == "ingress" {
      self = .ingress
    } else if name.hasPrefix("egress-"), let index = Int(name.dropFirst(7)), (0..<1000).contains(index) {
      self = .egress(index)
    } else {
      return nil
    }
  }
}

/// How tokens are named where they may not appear.
func tokenHash(_ compact: String) -> TokenHash { TokenHash(digest: SHA256.hash(data: Array(compact.utf8))) }
