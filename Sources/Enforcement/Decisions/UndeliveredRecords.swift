import AgentProtocols
import CASACore

/// What was decided within the proxy and is not stored yet. Bounded: what there is no room for is not admitted, and
/// refusals are counted.
struct UndeliveredRecords {
  static let capacity = 10_000

  private let direction: Direction
  private var admissions: [RepeatedRecord: Int] = [:]
  /// Those that were made again and are not among `admissions` yet, each once.
  private var madeAgain: [RememberedAdmission] = []
  private var refusals: [JSONValue] = []
  private var lostRefusals = 0
  private var taken: String?

  init(direction: Direction) { self.direction = direction }

  /// At most: different requests may have the same record.
  private var admissionCount: Int { admissions.count + madeAgain.count }

  var hasRoom: Bool { admissionCount < Self.capacity }

  mutating func add(_ admission: RepeatedRecord) { admissions[admission, default: 0] += 1 }

  mutating func add(again admission: RememberedAdmission) {
    if admission.countUse() == 1 { madeAgain.append(admission) }
  }

  mutating func add(refusal event: JSONValue) {
    if refusals.count < Self.capacity { refusals.append(event) } else { lostRefusals += 1 }
  }

  /// See `LocalDecisions.takeRecords`.
  mutating func take(limit: Int) -> String? {
    if let taken { return taken }
    var lines = refusals.prefix(limit).map { "1 \($0.canonicalText)\n" }
    refusals.removeFirst(lines.count)
    if lostRefusals > 0 { lines.append("\(lostRefusals) {}\n") }
    lostRefusals = 0
    for admission in madeAgain { admissions[admission.record, default: 0] += admission.takeUses() }
    madeAgain.removeAll(keepingCapacity: true)
    while lines.count < limit, let (record, count) = admissions.first {
      admissions[record] = nil
      lines.append("\(count) \(record.event(direction: direction).canonicalText)\n")
    }
    taken = lines.isEmpty ? nil : lines.joined()
    return taken
  }

  /// See `LocalDecisions.recordsWereDelivered`.
  mutating func wereDelivered(limit: Int) -> Bool {
    taken = nil
    return admissionCount + refusals.count >= limit
  }
}
