import AgentProtocols
import CASACore
import Enforcement
import Logging
import NIOHPACK
import Sidecar

/// The plain endpoint: what the Lua script and the dynamic module ask, over HTTP/2 without gRPC.
struct PlainService: Sendable {
  static let checkPath = "/casa/check"
  static let recordsPath = "/casa/records"

  private static let maximumRecordsBytes = 1 << 20
  private static let field = (type: "content-type", listener: CheckService.listenerField)

  let sidecars: SidecarDirectory
  let epoch: DecisionEpoch
  let metrics: AuthorizationMetrics
  let logger: Logger

  func check(_ head: HPACKHeaders) -> HTTP2Exchange {
    guard let workload = sidecars.workload(for: head) else { return unknownSidecar() }
    guard head[Self.field.type] == [RequestEnvelope.mediaType] else { return .refusal(bare(415)) }
    let listeners = head[Self.field.listener]
    guard listeners.count == 1, let listener = Listener(name: listeners[0]) else { return .refusal(bare(400)) }
    return .whole(
      WholeExchange(limit: RequestEnvelope.maximumBytes, tooLarge: bare(413), tooLate: bare(504)) { body in
        let start = ContinuousClock.now
        let (answer, refusal) = await self.answer(body, workload, listener)
        metrics.count(
          workload.workload.adapter, listener, refusal: refusal?.reason, duration: ContinuousClock.now - start)
        return answer
      })
  }

  private func answer(
    _ body: [UInt8], _ workload: GuardedWorkload, _ listener: Listener
  ) async -> (answer: HTTP2Answer, refusal: Refusal?) {
    // Before anything is decided: what is revoked meanwhile makes this answer an old one.
    let epoch = epoch.current
    let request: InterceptedRequest
    do throws(Refusal) {
      request = try Self.request(in: body)
    } catch {
      return (PlainAnswer.refused(error, record: nil, epoch: epoch), error)
    }
    let (result, record) = await workload.decide(request, at: listener)
    switch result {
    case .success(let admission):
      var reuse: PlainAnswer.Reuse?
      if let lifetime = admission.reuse, lifetime > .zero {
        reuse = PlainAnswer.Reuse(
          milliseconds: Int(lifetime.wholeMilliseconds),
          record: record.event(refusal: nil, decisionID: nil, latency: nil).canonicalText,
          // What is read of the answer may depend on the request's id.
          id: admission.offer?.namesRequest == true ? nil : JSONRPCIDLocation(in: request.body))
      }
      return (
        PlainAnswer.admitted(
          admission, reuse: reuse, facts: admission.facts?.json.canonicalBytes ?? [], epoch: epoch), nil
      )
    case .failure(let refusal): return (PlainAnswer.refused(refusal, record: record, epoch: epoch), refusal)
    }
  }

  private static func request(in body: [UInt8]) throws(Refusal) -> InterceptedRequest {
    let envelope = try refusingViolations { () throws(ProtocolViolation) in try RequestEnvelope(parsing: body) }
    return try InterceptedRequest(envelope)
  }

  func takeRecords(_ head: HPACKHeaders) -> HTTP2Exchange {
    guard let workload = sidecars.workload(for: head) else { return unknownSidecar() }
    return .whole(
      WholeExchange(limit: Self.maximumRecordsBytes, tooLarge: bare(413), tooLate: bare(504)) { body in
        guard let lines = RecordLines(parsing: body) else { return self.bare(400) }
        for line in lines.lines {
          if line.record.object?.isEmpty ?? true {
            workload.reporter.lose(line.count)
          } else {
            workload.reporter.report(line.record, count: line.count)
          }
          metrics.countDecidedInEnvoy(line.count)
        }
        return self.bare(204)
      })
  }

  /// Says nothing of why, nor which epoch it is.
  private func unknownSidecar() -> HTTP2Exchange {
    logger.warning("a proxy with an unknown sidecar key asked")
    metrics.countUnknownSidecar()
    return .refusal(HTTP2Answer(status: 403))
  }

  private func bare(_ status: Int) -> HTTP2Answer { PlainAnswer.bare(status, epoch: epoch.current) }
}
