import AgentProtocols
import CASACore

/// What requests have in common that are recorded as one.
struct RepeatedRecord: Hashable {
  private let method: String?
  private let token: TokenHash?
  private let trace: TraceID?
  private let session: UserInputID?
  private let correlation: RequestRecord.Correlation?
  private let destination: String?

  init(_ record: RequestRecord, of admission: Admission) {
    method = record.method
    token = admission.tokenHash ?? record.tokenHash
    trace = record.traceID
    session = admission.userInputID ?? record.userInputID
    correlation = record.correlation
    destination = record.destination
  }

  func hash(into hasher: inout Hasher) {
    // The rest hardly ever tells two apart.
    hasher.combine(token)
    hasher.combine(trace)
  }

  /// The event that `POST /trace/events` takes.
  func event(direction: Direction) -> JSONValue {
    var record = RequestRecord(direction: direction, destination: destination)
    (record.method, record.tokenHash, record.traceID) = (method, token, trace)
    (record.userInputID, record.correlation) = (session, correlation)
    return record.event(refusal: nil, decisionID: nil, latency: nil)
  }
}
