import CASACore

/// How fast leadership goes from one process to another; the defaults are client-go's.
package struct LeadershipTiming: Sendable, Hashable {
  /// How long others wait for a leader that says nothing. Whole seconds of it are written into the Lease.
  package var leaseDuration: Duration
  /// How long a leader goes on without a renewal; two thirds of `leaseDuration` at most.
  package var renewalDeadline: Duration
  /// How often a leader renews and the others look.
  package var retryPeriod: Duration

  package init(
    leaseDuration: Duration = .seconds(15), renewalDeadline: Duration = .seconds(10),
    retryPeriod: Duration = .seconds(2)
  ) {
    self.leaseDuration = leaseDuration
    self.renewalDeadline = renewalDeadline
    self.retryPeriod = retryPeriod
  }
}

/// What one of several candidates for a Lease knows and decides. Pure: it is told the time and what was read.
///
/// Clocks of different machines are never compared. A candidate takes over when it saw the Lease unchanged for the
/// lease's duration by its own clock; the leader gives up when it could not renew for the shorter renewal deadline by
/// its own, counted from before it asked. So the two overlap only when clocks run apart by a third or more.
struct LeadershipCandidate: Sendable {
  typealias Instant = ContinuousClock.Instant

  enum Step: Sendable, Hashable {
    /// Somebody else holds it.
    case wait
    /// There is no Lease: create it so.
    case create(LeaseRecord)
    /// Write it so, over the very state that was read.
    case update(LeaseRecord)
  }

  let identity: String
  let timing: LeadershipTiming
  private var seen: (record: LeaseRecord, at: Instant)?
  private var heldSince: Instant?

  init(identity: String, timing: LeadershipTiming = LeadershipTiming()) {
    self.identity = identity
    self.timing = timing
  }

  /// Until when this candidate leads, by its own clock; nil when it does not.
  var leadsUntil: Instant? { heldSince.map { $0 + timing.renewalDeadline } }

  func leads(at now: Instant) -> Bool { leadsUntil.map { now < $0 } ?? false }

  /// Takes in what was read, nil for no Lease, and says what to do.
  mutating func decide(_ record: LeaseRecord?, at now: Instant, _ clock: Timestamp) -> Step {
    guard let record else {
      (seen, heldSince) = (nil, nil)
      return .create(LeaseRecord(holder: identity, durationSeconds: seconds, at: clock))
    }
    // Any change of the Lease shows a holder that lives, also one that only its version tells.
    if seen?.record != record { seen = (record, now) }
    if record.holder == identity {
      // It may be from a process of this name that ended; who leads is decided by the renewal's success.
      var next = record
      next.renewed = LeaseRecord.time(clock)
      next.durationSeconds = seconds
      return .update(next)
    }
    heldSince = nil
    let patience = max(timing.leaseDuration, .seconds(record.durationSeconds))
    guard record.holder.isEmpty || now - (seen?.at ?? now) >= patience else { return .wait }
    var next = LeaseRecord(
      holder: identity, durationSeconds: seconds, at: clock, transitions: record.transitions + 1)
    next.resourceVersion = record.resourceVersion
    return .update(next)
  }

  /// What the leader writes next, over the state that it wrote last, without reading before; nil for who does not lead.
  func renewal(_ clock: Timestamp) -> LeaseRecord? {
    guard heldSince != nil, var record = seen?.record, record.holder == identity else { return nil }
    record.renewed = LeaseRecord.time(clock)
    return record
  }

  /// The write that was decided was carried out.
  /// - Parameter asked: when it was sent.
  mutating func wrote(_ record: LeaseRecord, asked: Instant) {
    seen = (record, asked)
    heldSince = asked
  }

  /// The record to leave behind, over which anybody may write at once; nil when this candidate does not lead.
  mutating func release(_ clock: Timestamp) -> LeaseRecord? {
    guard heldSince != nil, var record = seen?.record, record.holder == identity else { return nil }
    heldSince = nil
    record.holder = ""
    record.durationSeconds = 1
    record.renewed = LeaseRecord.time(clock)
    return record
  }

  private var seconds: Int64 { max(1, timing.leaseDuration.components.seconds) }
}
