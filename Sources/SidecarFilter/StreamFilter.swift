import AgentProtocols
import CASACore
import CEnvoyModule
import Enforcement

/// One request on its way through the filter. Nothing of it goes on before it was admitted, and what Envoy does in an
/// order that makes no sense is refused.
///
/// Envoy calls every hook of a stream on the same thread, but some within others: a callout that can't be begun may be
/// answered before it returns.
final class StreamFilter {
  /// What becomes of the piece at hand.
  enum Passage {
    case goOn
    case hold
    /// Was answered here; the rest of the request is of no interest.
    case drop
  }

  private enum Phase {
    case new
    case collecting
    case deciding
    case asking(since: Timestamp)
    case admitted
    case refused
  }

  /// A request as it was found in Envoy's memory.
  private enum Examined {
    case repetition(RememberedAdmission)
    case new(FilteredRequest)
  }

  private static let timeout: UInt64 = 5000

  private let owner: ListenerFilter
  private var phase = Phase.new
  /// Whether Envoy waits for a hook's return value, by which the request goes on, and not for a call.
  private var isInHook = false

  init(_ owner: ListenerFilter) { self.owner = owner }

  // MARK: What Envoy tells

  func headers(_ stream: EnvoyStream, isLast: Bool) -> Passage {
    guard case .new = phase else { return refuseDisorder(stream) }
    if isLast { return decide(stream, bodySize: 0) }
    // Its end would be waited for in vain.
    guard let isTunnel = stream.isTunnel else { return refuseDisorder(stream) }
    if isTunnel { return refuse(stream, Refusal(.methodNotAllowed, "a tunnel can't be checked"), record: nil) }
    phase = .collecting
    return .hold
  }

  func data(_ stream: EnvoyStream, isLast: Bool) -> Passage {
    guard case .collecting = phase else { return refuseDisorder(stream) }
    let size = stream.bodySize
    guard size <= RequestEnvelope.maximumBodyBytes else {
      return refuse(
        stream, Refusal(.bodyTooLarge, "the body is larger than the proxy holds"), record: nil,
        status: .contentTooLarge)
    }
    return isLast ? decide(stream, bodySize: size) : .hold
  }

  /// Trailers are shown to nobody who decides, so they don't pass.
  func trailers(_ stream: EnvoyStream) -> Passage {
    guard case .collecting = phase else { return refuseDisorder(stream) }
    return refuse(stream, Refusal(.malformedRequest, "a request must not have trailers"), record: nil)
  }

  /// - Parameters:
  ///   - fields: nil when there was no answer, or one that can't be read.
  ///   - body: likewise.
  func answered(_ stream: EnvoyStream, fields: [RawField]?, body: [UInt8]?) {
    guard case .asking(let since) = phase else { return }
    phase = .deciding
    guard let fields, let body, let answer = try? AuthorizationAnswer(fields: fields, body: body) else {
      return refuseWithoutAnswer(stream)
    }
    owner.learn(answer, asked: since)
    switch answer.verdict {
    case .refuse(let reply):
      phase = .refused
      stream.respond(
        reply.status, fields: reply.fields.map { ($0.name.bytes, $0.value) }, body: reply.body)
    case .admit(let changes):
      guard apply(changes, to: stream) else { return refuseWithoutAnswer(stream) }
      phase = .admitted
      if !isInHook { stream.continueRequest() }
    }
  }

  // MARK: Deciding

  /// Decides about the whole request, which is read out of Envoy's memory, and copied only when it is not a repetition.
  private func decide(_ stream: EnvoyStream, bodySize: Int) -> Passage {
    isInHook = true
    defer { isInHook = false }
    phase = .deciding
    let request: Examined? = stream.withRequestFields { fields in
      stream.withBody(size: bodySize) { body in
        let key = RequestKey(fields, body)
        if let known = key.flatMap({ owner.admitAgain($0) }) { return .repetition(known) }
        return FilteredRequest(fields, body, key: key).map { .new($0) }
      }
    }
    switch request {
    case .repetition(let known): return pass(known.admission, stream)
    case .new(let request): return decide(stream, about: request)
    case nil: return refuseDisorder(stream)
    }
  }

  private func decide(_ stream: EnvoyStream, about request: FilteredRequest) -> Passage {
    let intercepted: InterceptedRequest
    do throws(Refusal) {
      intercepted = try request.intercepted()
    } catch {
      return refuse(stream, error, record: nil)
    }
    let (verdict, record) = owner.decide(intercepted, key: request.key)
    switch verdict {
    case .refuse(let refusal): return refuse(stream, refusal, record: record)
    case .admit(let admission): return pass(admission, stream)
    case .ask: return ask(stream, about: request)
    }
  }

  private func pass(_ admission: Admission, _ stream: EnvoyStream) -> Passage {
    guard apply(admission, to: stream) else {
      refuseWithoutAnswer(stream)
      return .drop
    }
    phase = .admitted
    return .goOn
  }

  private func ask(_ stream: EnvoyStream, about request: FilteredRequest) -> Passage {
    phase = .asking(since: owner.now())
    let wasBegun = stream.ask(
      owner.cluster, fields: owner.checkFields, body: request.envelope, timeout: Self.timeout)
    switch phase {
    case .asking where wasBegun: return .hold
    case .admitted: return .goOn
    case .refused: return .drop
    default:
      refuseWithoutAnswer(stream)
      return .drop
    }
  }

  // MARK: Acting

  private func apply(_ admission: Admission, to stream: EnvoyStream) -> Bool {
    for name in admission.removeHeaders { name.withBytes { stream.remove($0) } }
    for header in admission.setHeaders {
      let wasSet = header.name.withBytes { name in header.value.withBytes { stream.set(name, $0) } }
      guard wasSet else { return false }
      if header.name == Admission.readAnswerHeader { stream.clearRouteCache() }
    }
    admission.answerToken?.withBytes { stream.setMetadata("answer_token", $0) }
    admission.offer?.text.withBytes { stream.setMetadata("offer", $0) }
    admission.decisionID?.withBytes { stream.setMetadata("decision", $0) }
    return true
  }

  private func apply(_ changes: AuthorizationAnswer.Changes, to stream: EnvoyStream) -> Bool {
    for name in changes.remove { name.withUnsafeBytes { stream.remove($0) } }
    for field in changes.set {
      let wasSet = field.name.withUnsafeBytes { name in field.value.withUnsafeBytes { stream.set(name, $0) } }
      guard wasSet else { return false }
      if field.name.elementsEqual(Admission.readAnswerHeader.utf8) { stream.clearRouteCache() }
    }
    for entry in changes.metadata { entry.value.withUnsafeBytes { stream.setMetadata(entry.key, $0) } }
    return true
  }

  private func refuse(
    _ stream: EnvoyStream, _ refusal: Refusal, record: RequestRecord?, status: RefusalBody.Status = .forbidden
  ) -> Passage {
    let fields = RefusalFields(refusal, record: record, status: status)
    phase = .refused
    stream.respond(
      UInt32(status.rawValue), fields: fields.headers.map { (Array($0.name.utf8), Array($0.value.utf8)) },
      body: Array(fields.body.utf8))
    return .drop
  }

  private func refuseWithoutAnswer(_ stream: EnvoyStream) { _ = refuse(stream, .noAnswer, record: nil) }

  /// Whatever Envoy did, nothing more of this stream passes.
  private func refuseDisorder(_ stream: EnvoyStream) -> Passage {
    if case .refused = phase { return .drop }
    refuseWithoutAnswer(stream)
    return .drop
  }
}

extension RequestKey {
  fileprivate init?(_ fields: UnsafeBufferPointer<casa_field>, _ body: UnsafeBufferPointer<casa_bytes>) {
    var size = 0
    for field in fields { size += field.name_count + field.value_count }
    for chunk in body { size += chunk.count }
    self.init(fieldCount: fields.count, byteCount: size) { writer in
      for field in fields { writer.append(name: field.nameBytes, value: field.valueBytes) }
      for chunk in body { writer.append(body: chunk.bytes) }
    }
  }
}

extension FilteredRequest {
  /// - Returns: nil when it is too large.
  fileprivate init?(
    _ fields: UnsafeBufferPointer<casa_field>, _ body: UnsafeBufferPointer<casa_bytes>, key: RequestKey?
  ) {
    guard let copied = copyFields(fields, limit: EnvoyStream.maximumFieldBytes) else { return nil }
    var bytes: [UInt8] = []
    guard bytes.append(chunks: body, limit: RequestEnvelope.maximumBodyBytes) else { return nil }
    self.init(fields: copied, body: bytes, key: key)
  }
}

extension String {
  fileprivate func withBytes<Result>(_ action: (UnsafeRawBufferPointer) -> Result) -> Result {
    var copy = self
    return copy.withUTF8 { action(UnsafeRawBufferPointer($0)) }
  }

  var bytes: [UInt8] { Array(utf8) }
}

extension StaticString {
  var bytes: [UInt8] { Array(UnsafeBufferPointer(start: utf8Start, count: utf8CodeUnitCount)) }
}
