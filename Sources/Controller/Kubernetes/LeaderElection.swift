package import CASACore
package import Logging

/// Lets one of several processes do the work, by a Lease.
package struct LeaderElection: Sendable {
  let client: KubernetesClient
  let lease: ObjectKey
  let identity: String
  let timing: LeadershipTiming
  let clock: WallClock
  let logger: Logger

  /// - Parameter identity: no other process may have it, such as a pod's name and uid.
  package init(
    _ client: KubernetesClient, lease: ObjectKey, identity: String, timing: LeadershipTiming = LeadershipTiming(),
    clock: WallClock = .system, logger: Logger
  ) {
    self.client = client
    self.lease = lease
    self.identity = identity
    self.timing = timing
    self.clock = clock
    var logger = logger
    logger[metadataKey: "lease"] = "\(lease)"
    self.logger = logger
  }

  /// Until the task is cancelled or `body` returns by itself. Then the Lease is left to the others.
  /// - Parameters:
  ///   - body: runs while this process leads. It is cancelled when the Lease could not be renewed in time, and has the
  ///     rest of the lease's duration to return, 5 s.
  ///   - overran: called when it did not return by then, and another may lead. Nothing can stop a task that does not
  ///     look whether it is cancelled; ending the process does.
  package func run(
    overran: @escaping @Sendable () -> Void, _ body: @escaping @Sendable () async -> Void
  ) async {
    var candidate = LeadershipCandidate(identity: identity, timing: timing)
    while !Task.isCancelled {
      await attempt(&candidate)
      guard candidate.leads(at: .now) else {
        await pause()
        continue
      }
      logger.notice("this process leads")
      let isDone = await lead(&candidate, overran: overran, body)
      logger.notice("this process no longer leads")
      if isDone { break }
    }
    await release(&candidate)
  }

  private enum Ended: Sendable {
    case body
    case renewal(LeadershipCandidate)
  }

  /// Runs `body` for as long as this process leads.
  /// - Returns: whether `body` returned by itself.
  private func lead(
    _ candidate: inout LeadershipCandidate, overran: @escaping @Sendable () -> Void,
    _ body: @escaping @Sendable () async -> Void
  ) async -> Bool {
    let begun = candidate
    let (isDone, last) = await withTaskGroup(of: Ended.self) { group in
      group.addTask {
        await body()
        return .body
      }
      group.addTask { .renewal(await renew(begun)) }
      var isDone = false
      var last = begun
      var watchdog: Task<Void, Never>?
      while let ended = await group.next() {
        group.cancelAll()
        switch ended {
        case .body:
          isDone = watchdog == nil && !Task.isCancelled
          watchdog?.cancel()
        case .renewal(let candidate):
          last = candidate
          let end = (candidate.leadsUntil ?? .now) + (timing.leaseDuration - timing.renewalDeadline)
          watchdog = Task {
            try? await Task.sleep(until: end, clock: .continuous)
            if !Task.isCancelled { overran() }
          }
        }
      }
      watchdog?.cancel()
      return (isDone, last)
    }
    candidate = last
    return isDone
  }

  /// Until it no longer leads, or the task is cancelled.
  private func renew(_ begun: LeadershipCandidate) async -> LeadershipCandidate {
    var candidate = begun
    while let end = candidate.leadsUntil, .now < end, !Task.isCancelled {
      try? await Task.sleep(until: min(.now + timing.retryPeriod, end), clock: .continuous)
      if !Task.isCancelled { await attempt(&candidate) }
    }
    return candidate
  }

  /// Writes the Lease, or looks at it, once.
  private func attempt(_ candidate: inout LeadershipCandidate) async {
    do throws(KubernetesError) {
      if let record = candidate.renewal(clock.now()) {
        do throws(KubernetesError) {
          return try await write(record, isNew: false, &candidate)
        } catch {
          // Somebody wrote it meanwhile, or deleted it: look who.
          guard error == .conflict || error == .notFound else { throw error }
        }
      }
      let record: LeaseRecord?
      do throws(KubernetesError) {
        record = LeaseRecord(try await asking(candidate).get(.leases, lease))
      } catch {
        guard error == .notFound else { throw error }
        record = nil
      }
      switch candidate.decide(record, at: .now, clock.now()) {
      case .wait: return
      case .create(let record): try await write(record, isNew: true, &candidate)
      case .update(let record): try await write(record, isNew: false, &candidate)
      }
    } catch {
      // Another candidate was faster.
      guard error != .conflict, error != .alreadyExists, error != .cancelled else { return }
      logger.warning("the Lease can't be read or written: \(error)")
    }
  }

  private func write(
    _ record: LeaseRecord, isNew: Bool, _ candidate: inout LeadershipCandidate
  ) async throws(KubernetesError) {
    let asked = ContinuousClock.now
    let client = asking(candidate)
    let written =
      isNew
      ? try await client.create(.leases, record.json(lease), in: lease.namespace)
      : try await client.replace(.leases, record.json(lease))
    candidate.wrote(LeaseRecord(written), asked: asked)
  }

  /// A leader must know in time that it no longer is one.
  private func asking(_ candidate: LeadershipCandidate) -> KubernetesClient {
    let left = candidate.leadsUntil.map { $0 - .now } ?? timing.renewalDeadline
    return client.urgent(timeout: max(min(left, timing.renewalDeadline / 2), .milliseconds(100)))
  }

  /// Not all at the same time.
  private func pause() async {
    try? await Task.sleep(for: timing.retryPeriod * Double.random(in: 0.8...1.2), clock: .continuous)
  }

  private func release(_ candidate: inout LeadershipCandidate) async {
    guard let record = candidate.release(clock.now()) else { return }
    // This task may be cancelled already, and with it whatever it would ask.
    await Task { [client, logger, lease] in
      do throws(KubernetesError) {
        try await client.urgent(timeout: .seconds(2)).replace(.leases, record.json(lease))
      } catch {
        logger.info("the Lease is left to run out: \(error)")
      }
    }.value
  }
}
