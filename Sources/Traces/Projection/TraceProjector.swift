public import CASACore
public import Storage
import Synchronization

/// Reads the trace in order and keeps what the queries answer from. It is never in the way of a decision: what was
/// decided is stored before, and told of a moment later.
///
/// Several runtimes may project at once: how far the trace was read is stored with what was made of it, and of two that
/// read on from the same place only one is taken.
public struct TraceProjector: Sendable {
  /// So many events in one transaction, which decisions wait for.
  public static let batch = 1000
  /// How long the record of a token that a node saw may take to arrive.
  static let settling = Duration.seconds(60)

  private let storage: any StorageDriver
  private let clock: WallClock
  private let unreadable = Count()

  public init(storage: any StorageDriver, clock: WallClock = .system) {
    self.storage = storage
    self.clock = clock
  }

  /// How many events were left out, by this projector, because they can't be read.
  public var unreadableEvents: Int { unreadable.value.load(ordering: .relaxed) }

  private final class Count: Sendable {
    let value = Atomic(0)
  }

  /// Takes in the next events. One that can't be read, or of which the database does not store what it tells, is left
  /// out, and an alert raised in its place: it must not keep those after it from being told of.
  /// - Returns: how many; fewer than a whole batch when there are no more.
  public func advance() async throws(StorageError) -> Int {
    let cursor = try await storage.query(Statement("SELECT sequence FROM trace_cursors WHERE name = 'projection'"))
    guard var place = try cursor.first?.integer("sequence") else { throw .corrupt("the projection has no cursor") }
    let events = try await storage.events(
      Statement(
        "SELECT \(RecordedEvent.columns) FROM trace_events WHERE sequence > $1 ORDER BY sequence LIMIT \(Self.batch)",
        [.integer(place)]))
    var rest = events[...]
    var size = rest.count
    while let last = rest.prefix(size).last {
      let some = rest.prefix(size)
      do throws(StorageError) {
        try await store(try await projection(of: some), from: place, to: last.sequence)
      } catch .unexpectedChanges {
        // Another runtime was first.
        return events.count
      } catch .unstorable, .conflict {
        // Half of them, until it is known which it is.
        if size > 1 {
          size /= 2
          continue
        }
        var projection = TraceProjection(sessions: [:], prompts: [:])
        projection.leaveOut(last)
        do throws(StorageError) {
          try await store(projection, from: place, to: last.sequence)
        } catch .unexpectedChanges {
          return events.count
        }
      }
      place = last.sequence
      rest = rest.dropFirst(some.count)
      size = min(2 * size, rest.count)
    }
    return events.count
  }

  private func projection(of events: ArraySlice<RecordedEvent>) async throws(StorageError) -> TraceProjection {
    let begun = events.filter { $0.kind == TraceEvent.Kind.userInputReceived.rawValue }.compactMap(\.userInputID)
    var projection = TraceProjection(
      sessions: try await sessions(of: events), prompts: try await storage.prompts(of: begun))
    for event in events { projection.take(event) }
    return projection
  }

  /// - Throws: `StorageError.unexpectedChanges` when the trace was read on from `place` before.
  private func store(
    _ projection: TraceProjection, from place: Int64, to last: Int64
  ) async throws(StorageError) {
    try await storage.commit(
      [
        Statement(
          "UPDATE trace_cursors SET sequence = $1 WHERE name = 'projection' AND sequence = $2",
          [.integer(last), .integer(place)], expectedChanges: 1)
      ] + projection.unit())
    unreadable.value.add(projection.unreadable, ordering: .relaxed)
  }

  /// Ties the tokens that nodes saw to those that were issued, and tells of those that never were.
  public func settle() async throws(StorageError) {
    let limit = (clock.now() - Self.settling).milliseconds
    let rows = try await storage.query(
      Statement(
        """
        SELECT s.sequence, s.sha256, s.node_id, s.node, s.at, s.mas_id, s.app_id, t.user_input_id, t.scope
        FROM trace_sightings s LEFT JOIN trace_tokens t ON t.sha256 = s.sha256
        WHERE s.settled = 0 AND s.at < $1 ORDER BY s.at LIMIT 500
        """, [.integer(limit)]))
    var unit: [Statement] = []
    for row in rows {
      unit.append(
        Statement(
          "UPDATE trace_sightings SET settled = 1, user_input_id = $1 WHERE sequence = $2",
          [.optional(try row.optionalText("user_input_id")), .integer(try row.integer("sequence"))]))
      if try row.optionalText("scope") == nil {
        unit.append(try TraceAlert(unknownToken: try row.text("sha256"), sighting: row).insertion)
      }
    }
    if !unit.isEmpty { try await storage.commit(unit) }
  }

  /// How many events were not taken in yet.
  public func backlog() async throws(StorageError) -> Int64 {
    let rows = try await storage.query(
      Statement(
        """
        SELECT COALESCE((SELECT sequence FROM trace_events ORDER BY sequence DESC LIMIT 1), 0)
          - (SELECT sequence FROM trace_cursors WHERE name = 'projection') AS backlog
        """))
    return max(0, try rows.first?.integer("backlog") ?? 0)
  }

  private func sessions(of events: ArraySlice<RecordedEvent>) async throws(StorageError) -> [UserInputID: SessionRecord]
  {
    let ids = Set(events.compactMap(\.userInputID)).map { SQLValue.text($0.rawValue) }
    var sessions: [UserInputID: SessionRecord] = [:]
    for row in try await storage.query(
      Statement(
        "SELECT \(SessionRecord.columns) FROM trace_sessions WHERE id IN (\(Statement.parameters(ids.count)))",
        Statement.padded(ids)))
    {
      let record = try SessionRecord(row: row)
      sessions[record.id] = record
    }
    return sessions
  }
}
