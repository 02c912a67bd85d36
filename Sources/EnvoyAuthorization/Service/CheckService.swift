import CASACore
import Enforcement
import Logging
import NIOHPACK
import Sidecar

/// Envoy's `Authorization/Check`: one question per request, answered by the workload's rules.
struct CheckService: Sendable {
  static let path = "/envoy.service.auth.v3.Authorization/Check"

  /// By which a filter says of which direction it is, where the routes, whose settings say it otherwise, are a mesh's.
  static let listenerField = "x-casa-listener"

  private static let tooLarge = GRPCStatus(.resourceExhausted, "the question is too large").trailersOnly
  private static let tooLate = GRPCStatus(
    .deadlineExceeded, "the question came, or was answered, too late"
  ).trailersOnly

  private static let maximumUnknownBytes = 16_384
  private static let unknown = answer(
    CheckResponse.denied(
      Refusal(.callerUnknown, "the authorization service does not know this sidecar"), record: nil))

  private static func answer(_ message: [UInt8]) -> HTTP2Answer {
    HTTP2Answer(head: GRPC.answerHead, body: GRPC.frame(message), trailers: GRPCStatus.okTrailers)
  }

  let sidecars: SidecarDirectory
  let repeated: RepeatedChecks
  let metrics: AuthorizationMetrics
  let logger: Logger

  func exchange(_ head: HPACKHeaders) -> HTTP2Exchange {
    guard let workload = sidecars.workload(for: head) else {
      logger.warning("a proxy with an unknown sidecar key asked")
      metrics.countUnknownSidecar()
      // Envoy reads the answer to a question that it asked to its end; of somebody unknown no large one is kept.
      return .whole(
        WholeExchange(limit: Self.maximumUnknownBytes, tooLarge: Self.unknown, tooLate: Self.unknown) { _ in
          Self.unknown
        })
    }
    let listeners = head[Self.listenerField]
    return .whole(
      WholeExchange(
        limit: GRPC.maximumMessageBytes + GRPC.prefixBytes,
        tooLarge: Self.tooLarge, tooLate: Self.tooLate
      ) { body in
        do throws(GRPCStatus) {
          return Self.answer(await self.answer(try Self.question(in: body), from: listeners, workload))
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

  /// Which of the workload's listeners asks: what the route's settings say, or what the filter's do, never both.
  /// - Parameter listeners: values of `listenerField`. `egress` is whichever way leads to the request's host.
  static func listener(
    of question: CheckRequestReader, from listeners: [String], egress: (_ host: ArraySlice<UInt8>) -> Listener?
  ) throws(Refusal) -> Listener {
    let unsaid = Refusal(.destinationNotAllowed, "the proxy did not say which listener asks")
    guard !listeners.isEmpty else {
      guard let listener = question.listener.flatMap({ Listener(name: $0) }),
        question.direction == listener.direction.rawValue
      else { throw unsaid }
      return listener
    }
    guard listeners.count == 1, question.listener == nil, question.direction == nil else { throw unsaid }
    // A mesh's Envoys let a connection become a WebSocket, of which nobody would be asked about anything.
    guard !question.fields.contains(where: { String(decoding: $0.name, as: UTF8.self).lowercased() == "upgrade" })
    else {
      throw Refusal(.protocolNotAllowed, "a connection may not change its protocol")
    }
    switch Direction(rawValue: listeners[0]) {
    case .ingress: return .ingress
    case .egress:
      guard let listener = egress(question.host) else {
        throw Refusal(.destinationNotAllowed, "this workload may not call this destination")
      }
      return listener
    case nil: throw unsaid
    }
  }

  private func answer(
    _ question: CheckRequestReader, from listeners: [String], _ workload: GuardedWorkload
  ) async -> [UInt8] {
    let start = ContinuousClock.now
    let listener: Listener
    do throws(Refusal) {
      listener = try Self.listener(of: question, from: listeners, egress: workload.egress)
    } catch {
      metrics.count(workload.workload.adapter, nil, refusal: error.reason, duration: ContinuousClock.now - start)
      return CheckResponse.denied(error, record: nil)
    }
    let (answer, refusal) = await answer(question, workload, listener)
    metrics.count(
      workload.workload.adapter, listener, refusal: refusal?.reason, duration: ContinuousClock.now - start)
    return answer
  }

  private func answer(
    _ question: CheckRequestReader, _ workload: GuardedWorkload, _ listener: Listener
  ) async -> (answer: [UInt8], refusal: Refusal?) {
    func denied(_ refusal: Refusal, record: RequestRecord?) -> (answer: [UInt8], refusal: Refusal?) {
      (CheckResponse.denied(refusal, record: record), refusal)
    }
    let repetition = RepeatedChecks.Question(question, at: listener, of: ObjectIdentifier(workload))
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
        repeated.keep(
          answer, of: admission, body: intercepted.body, recordedAs: event, to: repetition, for: lifetime, epoch: epoch)
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
