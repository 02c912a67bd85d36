import CASACore
import Enforcement
import Sidecar
import Synchronization

/// What Envoy was answered, for the very same question a little later. It holds for as long as what it was decided by,
/// and not beyond the epoch in which that was looked up.
final class RepeatedChecks: Sendable {
  struct Question: Hashable, Sendable {
    fileprivate let workload: ObjectIdentifier
    fileprivate let request: RequestKey

    /// - Returns: nil for a question that is too large to be remembered.
    init?(_ question: CheckRequestReader, at listener: Listener, of workload: ObjectIdentifier) {
      // Everything of the question that a decision can depend on; the app's fields come last, and each has its length.
      let described: [(name: StaticString, value: ArraySlice<UInt8>)] = [
        ("listener", Array(listener.name.utf8)[...]), ("method", question.method),
        ("target", question.target), ("host", question.host), ("partial", question.partialBody ?? []),
        ("partial is there", question.partialBody == nil ? [] : [1]),
      ]
      var size = question.body.count
      for field in described { size += field.name.utf8CodeUnitCount + field.value.count }
      for field in question.fields { size += field.name.count + field.value.count }
      let key = RequestKey(fieldCount: described.count + question.fields.count, byteCount: size) { writer in
        for field in described {
          let name = UnsafeRawBufferPointer(start: field.name.utf8Start, count: field.name.utf8CodeUnitCount)
          field.value.withUnsafeBytes { writer.append(name: name, value: $0) }
        }
        for field in question.fields {
          field.name.withUnsafeBytes { name in field.value.withUnsafeBytes { writer.append(name: name, value: $0) } }
        }
        question.body.withUnsafeBytes { writer.append(body: $0) }
      }
      guard let key else { return nil }
      self.workload = workload
      request = key
    }
  }

  private struct Known: Sendable {
    let answer: [UInt8]
    let call: RepeatedCall
    let epoch: UInt64
    let since: Timestamp
    let until: Timestamp
  }

  /// Of 8 KiB each, and its answer.
  private static let capacity = 2000

  private let known = Mutex(GenerationalCache<Question, Known>(capacity: capacity))
  private let epoch: DecisionEpoch
  private let clock: WallClock

  init(epoch: DecisionEpoch, clock: WallClock) {
    self.epoch = epoch
    self.clock = clock
  }

  /// Before anything is decided: what is revoked meanwhile makes the answer an old one.
  var currentEpoch: UInt64 { epoch.current }

  /// The answer and what it is recorded as; nil when it must be decided.
  func answer(to question: Question) -> (bytes: [UInt8], call: RepeatedCall)? {
    let (now, epoch) = (clock.now(), epoch.current)
    // A clock that was set back makes nothing last longer.
    guard let known = known.withLock({ $0[question] }), known.epoch == epoch, known.since <= now, now < known.until
    else { return nil }
    return (known.answer, known.call)
  }

  /// Keeps nothing when a question that counts as the same might be answered in another way.
  /// - Parameters:
  ///   - body: of the request that was admitted.
  ///   - lifetime: for how long the same question is answered in the same way.
  ///   - epoch: as it was before the decision was begun.
  func keep(
    _ answer: [UInt8], of admission: Admission, body: [UInt8], recordedAs event: JSONValue, to question: Question,
    for lifetime: Duration, epoch: UInt64
  ) {
    guard question.request.represents(admission, of: body) else { return }
    let now = clock.now()
    let known = Known(answer: answer, call: RepeatedCall(event), epoch: epoch, since: now, until: now + lifetime)
    self.known.withLock { $0[question] = known }
  }
}
