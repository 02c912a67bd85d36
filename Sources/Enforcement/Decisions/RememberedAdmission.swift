import CASACore
import Synchronization

/// An admission that holds for the very same request, for a while. A reference, since it is looked up for each request
/// and has many parts.
public final class RememberedAdmission: Sendable {
  public let admission: Admission
  let key: RequestKey
  let until: Timestamp
  let record: RepeatedRecord
  private let uses = Atomic(0)

  init(of key: RequestKey, admission: Admission, record: RepeatedRecord, until: Timestamp) {
    self.key = key
    self.admission = admission
    self.record = record
    self.until = until
  }

  /// - Returns: how often it was made again since `takeUses`.
  func countUse() -> Int { uses.wrappingAdd(1, ordering: .relaxed).newValue }

  func takeUses() -> Int { uses.exchange(0, ordering: .relaxed) }
}
