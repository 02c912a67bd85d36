import CASACore
import CEnvoyModule
import Enforcement
import Synchronization

/// One listener's filter, shared by Envoy's threads: decides where it can, and tells the authorization service of what
/// it decided.
final class ListenerFilter: Sendable {
  private enum Delivery {
    /// Nothing is under way.
    case idle
    /// Records wait for the next round.
    case due
    case underWay(since: Timestamp)
  }

  private static let timeout: UInt64 = 5000
  /// The authorization service takes no larger body, and a record may hold a sentence or two.
  private static let recordsAtOnce = 500

  let cluster: [UInt8]
  let checkFields: [(name: [UInt8], value: [UInt8])]
  private let recordFields: [(name: [UInt8], value: [UInt8])]
  private let decisions: LocalDecisions
  private let clock: WallClock
  private let delivery = Mutex(Delivery.idle)
  private let pacer: DeliveryPacer

  /// - Parameter pacer: calls for `deliver` on Envoy's main thread a little later.
  init(_ configuration: FilterConfiguration, pacer: DeliveryPacer, clock: WallClock = .system) {
    func fields(_ path: String) -> [(name: [UInt8], value: [UInt8])] {
      [
        (":method".bytes, "POST".bytes), (":path".bytes, path.bytes), (":authority".bytes, "authorization".bytes),
        ("x-casa-sidecar-key".bytes, configuration.key),
      ]
    }
    cluster = configuration.cluster
    checkFields =
      fields("/casa/check") + [
        ("content-type".bytes, "application/vnd.casa.request".bytes),
        ("x-casa-listener".bytes, configuration.listener),
      ]
    recordFields = fields("/casa/records")
    decisions = LocalDecisions(at: configuration.point, clock: clock)
    self.clock = clock
    self.pacer = pacer
  }

  func now() -> Timestamp { clock.now() }

  // MARK: On a worker's thread

  func admitAgain(_ key: RequestKey) -> RememberedAdmission? {
    guard let admission = decisions.admitAgain(key) else { return nil }
    recordsWait()
    return admission
  }

  func decide(
    _ request: InterceptedRequest, key: RequestKey?
  ) -> (verdict: LocalDecisions.Verdict, record: RequestRecord) {
    let decision = decisions.decide(request, key: key)
    if case .ask = decision.verdict { return decision }
    recordsWait()
    return decision
  }

  private func recordsWait() {
    let wasIdle = delivery.withLock { delivery in
      guard case .idle = delivery else { return false }
      delivery = .due
      return true
    }
    if wasIdle { pacer.schedule() }
  }

  func learn(_ answer: AuthorizationAnswer, asked: Timestamp) {
    decisions.learn(answer.facts.map { DecisionFacts(json: $0, now: asked) }, epoch: answer.epoch, asked: asked)
  }

  // MARK: On the main thread

  /// Sends what waits.
  func deliver(_ envoy: EnvoyConfiguration) {
    let since = clock.now()
    let isOurs = delivery.withLock { delivery in
      guard case .due = delivery else { return false }
      delivery = .underWay(since: since)
      return true
    }
    guard isOurs else { return }
    guard let records = decisions.takeRecords(limit: Self.recordsAtOnce) else {
      delivery.withLock { $0 = .idle }
      return
    }
    if !envoy.ask(cluster, fields: recordFields, body: records.bytes, timeout: Self.timeout) {
      delivered(fields: nil, envoy)
    }
  }

  /// - Parameter fields: of the answer; nil when there was none.
  func delivered(fields: [RawField]?, _ envoy: EnvoyConfiguration) {
    let since: Timestamp? = delivery.withLock { delivery in
      guard case .underWay(let since) = delivery else { return nil }
      // Once more, for what was decided meanwhile; or for the same, when it did not arrive.
      delivery = .due
      return since
    }
    guard let since else { return }
    if let epoch = fields.flatMap({ AuthorizationAnswer.epoch(fields: $0, status: "204") }) {
      let moreWait = decisions.recordsWereDelivered(limit: Self.recordsAtOnce)
      decisions.learn(nil, epoch: epoch, asked: since)
      // There is no end of records that outrun one delivery each pause.
      if moreWait { return deliver(envoy) }
    }
    pacer.schedule()
  }
}
