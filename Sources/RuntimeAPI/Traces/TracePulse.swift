import Storage
import Traces

/// Tells live streams whether there are new events. However many ask, the storage is asked once in a fifth of a second.
actor TracePulse {
  private static let interval = Duration.milliseconds(200)

  private let reader: TraceReader
  private var last: Int64 = 0
  private var askedAt: ContinuousClock.Instant?
  private var question: Task<Result<Int64, StorageError>, Never>?
  private(set) var streams = 0

  /// More streams than these and a further one is refused.
  static let maximumStreams = 256

  init(reader: TraceReader) { self.reader = reader }

  /// The place of the newest event, as it was at most a fifth of a second ago.
  func lastSequence() async throws(StorageError) -> Int64 {
    if let askedAt, ContinuousClock.now - askedAt < Self.interval { return last }
    let reader = reader
    let asked =
      question
      ?? Task { () -> Result<Int64, StorageError> in
        do throws(StorageError) {
          return .success(try await reader.lastSequence())
        } catch {
          return .failure(error)
        }
      }
    question = asked
    let answer = await asked.value
    question = nil
    askedAt = .now
    last = try answer.get()
    return last
  }

  /// - Returns: false when there are too many.
  func open() -> Bool {
    guard streams < Self.maximumStreams else { return false }
    streams += 1
    return true
  }

  func close() { streams -= 1 }
}
