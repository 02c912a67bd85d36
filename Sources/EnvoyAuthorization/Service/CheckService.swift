import CASACore
import Enforcement
import Logging
import NIOHPACK
import Sidecar

/// Envoy's `Authorization/Check`: one question per request, answered by the workload's rules.
struct CheckService: Sendable {
  static let path = "/envoy.service.auth.v3.Authorization/Check"

  private static let tooLarge = GRPCStatus(.resourceExhausted, "the question is too large").trailersOnly
  private static let tooLate = GRPCStatus(
    .deadlineExceeded, "the question came, or was answered, too late"
  ).trailersOnly

  let sidecars: SidecarDirectory
  let repeated: RepeatedChecks
  let metrics: AuthorizationMetrics
  let logger: Logger

  func exchange(_ head: HPACKHeaders) -> HTTP2Exchange {
    let workload = sidecars.workload(for: head)
    return .whole(
      WholeExchange(
        limit: GRPC.maximumMessageBytes + GRPC.prefixBytes,
        tooLarge: Self.tooLarge, tooLate: Self.tooLate
      ) { body in
        do throws(GRPCStatus) {
          let answer = await self.answer(try Self.question(in: body), workload)
          return HTTP2Answer(head: GRPC.answerHead, body: GRPC.frame(answer), trailers: GRPCStatus.okTrailers)
        } catch {
          return error.trailersOnly
        }
      })
  }

  private static func question(in body: [UInt8]) throws(GRPCStatus) -> CheckRequestReader {
    let message = try GRPCDeframer.single(body)
    do {
      return try CheckRequestReader(parsing: message)
    } catch {
      throw GRPCStatus(.invalidArgument, "the question is no CheckRequest: \(error)")
    }
  }

  private func answer(_ question: CheckRequestReader, _ workload: GuardedWorkload?) async -> [UInt8] {
    guard let workload else {
      logger.warning("a proxy with an unknown sidecar key asked")
      metrics.countUnknownSidecar()
      return CheckResponse.denied(
        Refusal(.callerUnknown, "the authorization service does not know this sidecar"), record: nil)
    }
    let start = ContinuousClock.now
    let listener = question.listener.flatMap { Listener(name: $0) }
    let (answer, refusal) = await answer(question, workload, listener)
    metrics.count(
      workload.workload.adapter, listener, refusal: refusal?.reason, duration: ContinuousClock.now - start)
    return answer
  }

  private func answer(
    _ question: CheckRequestReader, _ workload: GuardedWorkload, _ listener: Listener?
  ) async -> (answer: [UInt8], refusal: Refusal?) {
    func denied(_ refusal: Refusal, record: RequestRecord?) -> (answer: [UInt8], refusal: Refusal?) {
      (CheckResponse.denied(refusal, record: record), refusal)
    }
    guard let listener, question.direction == listener.direction else {
      return denied(
        Refusal(.destinationNotAllowed, "the proxy did not say which listener asks"), record: nil)
    }
    let repetition = RepeatedChecks.Question(question, of: ObjectIdentifier(workload))
    if let repetition {
      let known = repeated.answer(to: repetition)
      metrics.count(.answers, isFound: known != nil)
      if let known {
        workload.reporter.report(known.call)
        return (known.bytes, nil)
      }
    }
    let epoch = repeated.currentEpoch
    let intercepted: InterceptedRequest
    do throws(Refusal) {
      intercepted = try InterceptedRequest(question)
    } catch {
      return denied(error, record: nil)
    }
    let (result, record) = await workload.decide(intercepted, at: listener)
    switch result {
    case .success(let admission):
      let answer = CheckResponse.admitted(admission)
      if let repetition, let lifetime = admission.reuse, lifetime > .zero {
        let event = record.event(refusal: nil, decisionID: nil, latency: nil)
        repeated.keep(answer, recordedAs: event, to: repetition, for: lifetime, epoch: epoch)
      }
      return (answer, nil)
    case .failure(let refusal): return denied(refusal, record: record)
    }
  }
}

extension InterceptedRequest {
  /// Reads Envoy's description.
  /// - Throws: `Refusal` when the target or a header is not text, or the body is there only in part.
  init(_ question: CheckRequestReader) throws(Refusal) {
    // Which of the two forms says so differs between releases of Envoy.
    guard question.partialBody?.elementsEqual("false".utf8) ?? true else {
      throw Refusal(.bodyTooLarge, "the body is larger than the proxy holds")
    }
    try self.init(
      method: question.method, target: question.target, host: question.host, fields: question.fields,
      body: Array(question.body))
  }
}
