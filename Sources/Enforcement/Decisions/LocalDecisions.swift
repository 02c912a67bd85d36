import AgentProtocols
public import CASACore
import Synchronization

/// Decides within the proxy what can be decided there: refuses what no token could make pass, and admits what the
/// authorization service admitted a moment ago, by the same rules. Everything else is asked.
///
/// What is remembered counts for at most a second after the authorization service last answered, and nothing of it
/// once that service says by a new epoch that something was revoked. So what it takes back ends here within a second,
/// and when it is gone, requests are refused within a second.
///
/// Never blocks and never calls out.
public final class LocalDecisions: Sendable {
  public enum Verdict: Sendable {
    case admit(Admission)
    case refuse(Refusal)
    case ask
  }

  /// For how long an answer of the authorization service vouches for what it said before.
  public static let contactFor = Duration.seconds(1)
  /// How long a description of the workload counts.
  private static let identityFor = Duration.seconds(60)
  static let tokenCapacity = 20_000

  private struct Use: Hashable {
    let trace: TraceID
    let purpose: TokenPurpose
  }

  private struct SessionToken {
    let token: HeldToken
    let apiKey: String?
    let until: Timestamp
  }

  private struct State {
    var epoch: UInt64?
    /// From when the question left that was answered last, for as long as its answer vouches for others.
    var contact: Range<Timestamp>?
    var identity: WorkloadIdentity?
    var identityUntil = Timestamp(milliseconds: 0)
    var tokens = GenerationalCache<Use, SessionToken>(capacity: tokenCapacity)
    var owners = GenerationalCache<MCPSessionID, AppID>(capacity: tokenCapacity)
    var known = RememberedAdmissions()
    var records: UndeliveredRecords

    /// A clock that was set back makes nothing last longer.
    func isInContact(_ now: Timestamp) -> Bool { contact?.contains(now) ?? false }
  }

  private let point: EnforcementPoint
  private let clock: WallClock
  private let state: Mutex<State>
  private let active: ActiveTokens
  private let claimed = ClaimedTokens(capacity: 4096)

  public init(at point: EnforcementPoint, clock: WallClock = .system) {
    self.point = point
    self.clock = clock
    state = Mutex(State(records: UndeliveredRecords(direction: point.direction)))
    active = ActiveTokens(capacity: Self.tokenCapacity, clock: clock)
  }

  /// Admits a request that is the same, byte for byte, as one that was admitted here a moment ago, but for what is new
  /// in every request; see `RequestKey`.
  /// - Returns: nil when it must be decided about.
  public func admitAgain(_ key: RequestKey) -> RememberedAdmission? {
    let now = clock.now()
    return state.withLock { state in
      guard let known = state.known[key], known.until > now, state.isInContact(now), state.records.hasRoom else {
        return nil
      }
      state.records.add(again: known)
      return known
    }
  }

  /// Decides about a request.
  /// - Parameter key: of the request, under which an admission is remembered.
  /// - Returns: the verdict, and what is known of the request for the answer's form.
  public func decide(
    _ request: InterceptedRequest, key: RequestKey? = nil
  ) -> (verdict: Verdict, record: RequestRecord) {
    var record = RequestRecord(direction: point.direction)
    let now = clock.now()
    // What is learned while this is decided may void what it is decided by.
    let (identity, epoch) = state.withLock { ($0.identityUntil > now ? $0.identity : nil, $0.epoch) }
    guard let identity else { return (.ask, record) }
    do throws(Refusal) {
      let verdict =
        point.side == .ingress
        ? try admit(request, key: key, identity: identity, epoch: epoch, now: now, record: &record)
        : try release(request, key: key, identity: identity, epoch: epoch, now: now, record: &record)
      return (verdict, record)
    } catch {
      record.requestID = record.requestID ?? error.requestID
      let event = record.event(refusal: error, decisionID: error.decisionID, latency: nil)
      state.withLock { $0.records.add(refusal: event) }
      return (.refuse(error), record)
    }
  }

  private func admit(
    _ request: InterceptedRequest, key: RequestKey?, identity: WorkloadIdentity, epoch: UInt64?, now: Timestamp,
    record: inout RequestRecord
  ) throws(Refusal) -> Verdict {
    let call = try IngressCall(request, at: point, identity: identity, tokens: claimed, record: &record)
    if let session = call.mcpSession {
      guard let owner = state.withLock({ $0.owners[session] }) else { return .ask }
      try call.check(sessionOwner: owner)
    } else {
      try call.check(sessionOwner: nil)
    }
    // What an agent is told is delivered to the authorization service too, which finds sessions by it.
    guard !call.usesUpToken, call.text == nil, let activity = active.activity(of: call.token.hash), activity.isActive,
      call.token.claims.expiresAt > now
    else { return .ask }
    let admission = try call.admission(record: &record)
    let until = min(activity.until, call.token.claims.expiresAt)
    return reuse(admission, of: request, key: key, until: until, epoch: epoch, now: now, record: record)
  }

  private func release(
    _ request: InterceptedRequest, key: RequestKey?, identity: WorkloadIdentity, epoch: UInt64?, now: Timestamp,
    record: inout RequestRecord
  ) throws(Refusal) -> Verdict {
    let call = try EgressCall(request, at: point, identity: identity, record: &record)
    guard let trace = call.namedTrace, let purpose = call.purpose,
      let held = state.withLock({ $0.tokens[Use(trace: trace, purpose: purpose)] }), held.until > now
    else { return .ask }
    try call.check(beginningOf: held.token)
    let admission = call.admission(with: held.token, trace: trace, apiKey: held.apiKey, record: &record)
    return reuse(admission, of: request, key: key, until: held.until, epoch: epoch, now: now, record: record)
  }

  /// Admits by what is remembered, if it still counts and can be recorded.
  /// - Parameter epoch: as it was before anything was looked up.
  private func reuse(
    _ admission: Admission, of request: InterceptedRequest, key: RequestKey?, until: Timestamp, epoch: UInt64?,
    now: Timestamp, record: RequestRecord
  ) -> Verdict {
    let repeated = RepeatedRecord(record, of: admission)
    let key = key.flatMap { $0.represents(admission, of: request.body) ? $0 : nil }
    return state.withLock { state in
      guard state.epoch == epoch, state.isInContact(now), state.records.hasRoom else { return .ask }
      state.records.add(repeated)
      if let key {
        state.known.insert(
          RememberedAdmission(
            of: key, admission: admission, record: repeated, until: min(until, state.identityUntil)))
      }
      return .admit(admission)
    }
  }

  // MARK: Learning

  /// The authorization service answered.
  /// - Parameters:
  ///   - epoch: as it said; another than before voids all that was learned.
  ///   - facts: nil when it said nothing to remember.
  ///   - asked: when the question left, so that an answer that took long does not count from its end.
  public func learn(_ facts: DecisionFacts?, epoch: UInt64, asked: Timestamp) {
    state.withLock { state in
      if state.epoch != epoch {
        // An answer that was overtaken by a newer one says nothing.
        if let known = state.epoch, epoch < known, known - epoch < 1 << 32 { return }
        state.epoch = epoch
        state.tokens = GenerationalCache(capacity: Self.tokenCapacity)
        state.known = RememberedAdmissions()
        state.identity = nil
        active.forgetAll()
      }
      // One that lies ahead is from before the clock was set back.
      let now = clock.now()
      if state.contact.map({ $0.lowerBound < asked || $0.lowerBound > now }) ?? true {
        state.contact = asked..<(asked + Self.contactFor)
      }
      guard let facts else { return }
      if let identity = facts.identity {
        // What was admitted by another description of the workload may not be any more.
        if state.identity?.json != identity.json { state.known = RememberedAdmissions() }
        state.identity = identity
        state.identityUntil = asked + Self.identityFor
      }
      if let fact = facts.activeToken {
        active.keep(isActive: true, until: asked + fact.lifetime, session: fact.session, for: fact.hash)
      }
      if let fact = facts.sessionToken {
        state.tokens[Use(trace: fact.trace, purpose: fact.purpose)] = SessionToken(
          token: fact.token, apiKey: fact.apiKey, until: asked + fact.lifetime)
      }
      if let fact = facts.sessionOwner { state.owners[fact.session] = fact.app }
    }
  }

  /// What was decided here and is not recorded yet, as the body of `POST /casa/records`; nil when there is nothing.
  /// The same again until `recordsWereDelivered` says that it arrived. An empty record stands for refusals that there
  /// was no room to describe.
  /// - Parameter limit: how many lines at most, beside that one.
  public func takeRecords(limit: Int = 500) -> String? { state.withLock { $0.records.take(limit: limit) } }

  /// The records taken last are stored.
  /// - Returns: whether as many again wait as one delivery takes.
  @discardableResult
  public func recordsWereDelivered(limit: Int = 500) -> Bool {
    state.withLock { $0.records.wereDelivered(limit: limit) }
  }
}
