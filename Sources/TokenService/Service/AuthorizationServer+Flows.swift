import CASACore
import Storage
import Synchronization
import Traces

extension AuthorizationServer {
  /// Stores what a node reports; all of it or nothing, and what was stored before not again. A token that was seen
  /// where it was not issued for is an event of its own, stored with the report.
  /// - Returns: those exfiltrations that were not known before.
  public func record(
    _ reports: [FlowReport], by node: AuthenticatedNode
  ) async throws(OAuthError) -> [TokenExfiltration] {
    do throws(StorageError) {
      let tokens = try await records(of: reports.compactMap(\.token))
      var unit: [Statement] = []
      var alerts: [Alert] = []
      for report in reports {
        let token = report.token.flatMap { tokens[$0] }
        let event = event(of: report, token: token, node: node.node)
        unit.append(
          TraceLog.insertion(of: event, idempotencyKey: "flow \(node.node.id) \(report.id)"))
        if let token, let alert = alert(about: token, seen: report, by: node.node) { alerts.append(alert) }
      }
      guard !alerts.isEmpty else {
        try await storage.commit(unit)
        return []
      }
      return try await store(unit, with: alerts)
    } catch {
      throw Self.storageFailure
    }
  }

  /// - Returns: the alerts that nobody had raised before.
  private func store(
    _ events: [Statement], with alerts: [Alert]
  ) async throws(StorageError) -> [TokenExfiltration] {
    // Each time another has raised one meanwhile.
    for _ in 0...alerts.count {
      var raised: [Alert] = []
      var keys: Set<String> = []
      for alert in alerts where keys.insert(alert.key).inserted {
        if try await !traces.holds(idempotencyKey: alert.key) { raised.append(alert) }
      }
      do throws(StorageError) {
        try await storage.commit(
          events + raised.map { TraceLog.firstInsertion(of: $0.event, idempotencyKey: $0.key) })
        return raised.map(\.exfiltration)
      } catch .unexpectedChanges {
        continue
      }
    }
    throw .unavailable("the same alerts are raised again and again")
  }

  /// One alert for each token, sender and remote: more would only be more of the same.
  private struct Alert: Sendable {
    let exfiltration: TokenExfiltration
    let event: TraceEvent
    let key: String
  }

  private func records(of hashes: [TokenHash]) async throws(StorageError) -> [TokenHash: TokenRecord] {
    guard !hashes.isEmpty else { return [:] }
    var records: [TokenHash: TokenRecord] = [:]
    for row in try await storage.query(TokenRecord.query(hashes)) {
      let record = try TokenRecord(row: row)
      records[record.hash] = record
    }
    return records
  }

  private func event(of report: FlowReport, token: TokenRecord?, node: Node) -> TraceEvent {
    let kind: TraceEvent.Kind =
      switch report.kind {
      case .flowOpened: .flowOpened
      case .flowClosed: .flowClosed
      case .flowRefused: .flowRefused
      case .tokenSeen: .tokenSeen
      case .workloadLeft: .workloadLeft
      case .flowsLost: .flowsLost
      }
    let app = report.appID.flatMap { registry.app($0) }
    var payload = report.payload
    payload["report_id"] = .string(report.id)
    payload["node"] = .string(node.name.text)
    payload["node_id"] = .string(node.id.rawValue)
    // The runtime's own tokens are signed as they are needed, and not stored.
    if let hash = report.token { payload["known"] = .bool(token != nil || ownTokens.withLock { $0[hash] != nil }) }
    if app == nil { payload["unknown_app_id"] = report.appID.map { .string($0.rawValue) } }
    return TraceEvent(
      kind, at: report.at, masID: token?.masID ?? app?.masID, userInputID: token?.userInputID,
      traceID: token?.traceID, appID: app?.id, payload: payload)
  }

  private func alert(about token: TokenRecord, seen report: FlowReport, by node: Node) -> Alert? {
    let workload = party(report.appID, else: "the workload \(report.workload)")
    let peer = party(report.peerAppID, else: report.remote?.description ?? "an unknown address")
    let isOutbound = report.direction == .outbound
    let sighting =
      isOutbound ? TokenSighting(sender: workload, recipient: peer) : TokenSighting(sender: peer, recipient: workload)
    guard let reason = sighting.exfiltration(of: token) else { return nil }
    let explanation = sighting.explanation(of: token, reason) { id in registry.app(id)?.name.text ?? id.rawValue }
    // Whoever connects leaves from a new port each time.
    let remote = isOutbound ? report.remote?.description : report.remote?.address
    let key = [
      "exfiltration", token.hash.text, report.direction?.rawValue ?? "", report.appID?.rawValue ?? report.workload,
      remote ?? report.peerAppID?.rawValue ?? "",
    ].joined(separator: " ")
    var payload = report.payload.filter { !["method", "path"].contains($0.key) }
    payload["reason"] = .string(reason.rawValue)
    payload["explanation"] = .string(explanation)
    payload["scope"] = .string(token.scope.rawValue)
    payload["holder"] = .string(token.holder.rawValue)
    payload["addressee"] = token.addressee.map { .string($0.rawValue) } ?? .null
    payload["seen_at"] = .string(report.at.rfc3339)
    payload["report_id"] = .string(report.id)
    payload["node"] = .string(node.name.text)
    payload["node_id"] = .string(node.id.rawValue)
    return Alert(
      exfiltration: TokenExfiltration(
        token: token.hash, reason: reason, explanation: explanation, userInputID: token.userInputID, node: node.name),
      event: TraceEvent(
        .tokenExfiltration, at: clock.now(), masID: token.masID, userInputID: token.userInputID,
        traceID: token.traceID, appID: report.appID.flatMap { registry.app($0)?.id }, payload: payload), key: key)
  }

  private func party(_ id: AppID?, else name: String) -> TokenSighting.Party {
    let app = id.flatMap { registry.app($0) }
    return TokenSighting.Party(app: id, mas: app?.masID, name: app?.name.text ?? name)
  }
}
