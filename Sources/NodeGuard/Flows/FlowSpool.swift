import AgentProtocols
public import CASACore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Reports that wait on the disk until the runtime has them: a queue that survives the end of the process at any
/// moment, and of the machine.
///
/// What `append` returned for is handed out until it is acknowledged, at least once, in order. The size is bounded:
/// when it would grow beyond, the oldest reports go, and a report of kind `flows_lost` says how many. Calls may come
/// from any thread, and block it while the disk writes.
public final class FlowSpool: Sendable {
  /// A report, and where it came from.
  public struct Report: Sendable, Hashable {
    public let position: SpoolPosition
    /// One line.
    public let json: String

    public init(position: SpoolPosition, json: String) {
      self.position = position
      self.json = json
    }
  }

  /// The next reports that wait.
  public struct Batch: Sendable, Hashable {
    /// Empty when nothing waits.
    public let reports: [String]
    fileprivate let end: SpoolPlace
    fileprivate let damaged: Int
  }

  /// The most reports of a batch.
  public static let batchLimit = 100
  /// The most bytes of a report.
  public static let reportLimit = 16_384

  private let directory: String
  private let folder: SpoolFile
  private let segmentBytes: Int
  private let maximumBytes: Int
  private let clock: WallClock
  private let write: SpoolFile.Write
  private let state: Mutex<State>

  private struct State {
    /// Oldest first; never empty. Reports are added to the last.
    var segments: [SpoolSegment]
    var acknowledgement: SpoolAcknowledgement
    var newest: SpoolPosition?
    var damaged = 0
    /// The end of the last may hold what can't be taken back: nothing more is added to it.
    var isLastSpoilt = false

    var bytes: Int { segments.reduce(0) { $0 + $1.size } }
    /// Where reading begins.
    var start: SpoolPlace {
      max(acknowledgement.place, SpoolPlace(segment: segments[0].number, offset: 0))
    }
  }

  /// Opens the spool in `directory`, which is made when it is missing. Only the owner can read it.
  /// - Parameters:
  ///   - maximumBytes: of all that waits; at least 256 KiB are used.
  ///   - clock: what a report of lost ones is dated by.
  /// - Throws: `FlowSpoolError`
  public convenience init(
    directory: String, maximumBytes: Int = 64 << 20, clock: WallClock = .system
  ) throws(FlowSpoolError) {
    try self.init(
      directory: directory, segmentBytes: max(maximumBytes, 8 * 32_768) / 8, clock: clock, write: SpoolFile.systemWrite)
  }

  /// - Parameter segmentBytes: an eighth of all bytes.
  init(
    directory: String, segmentBytes: Int, clock: WallClock, write: @escaping SpoolFile.Write
  ) throws(FlowSpoolError) {
    self.directory = directory
    self.segmentBytes = segmentBytes
    maximumBytes = 8 * segmentBytes
    self.clock = clock
    self.write = write
    guard mkdir(directory, 0o700) == 0 || errno == EEXIST else { throw .failed("\(directory) can't be made", errno) }
    folder = try SpoolFile(path: directory, flags: O_RDONLY | O_DIRECTORY)
    try folder.lock()
    try folder.restrict(to: 0o700)
    var segments: [SpoolSegment] = []
    for number in try SpoolSegment.numbers(in: directory) {
      segments.append(try SpoolSegment(directory: directory, number: number))
    }
    let acknowledgement = try SpoolAcknowledgement(directory: directory)
    var damaged = 0
    // Only the end of the newest can be torn: the process may have ended while it wrote there.
    if let last = segments.indices.last { damaged = try segments[last].cutTornLine() ? 1 : 0 }
    var newest: SpoolPosition?
    for segment in segments.reversed() {
      newest = try segment.newestPosition()
      if newest != nil { break }
    }
    if segments.isEmpty {
      segments = [
        try SpoolSegment(
          directory: directory, number: acknowledgement.place.segment + 1, newest: nil, folder: folder, write: write)
      ]
    }
    state = Mutex(
      State(segments: segments, acknowledgement: acknowledgement, newest: newest, damaged: damaged))
  }

  /// The position of the newest report that was ever appended; nil for a new spool.
  public var newestPosition: SpoolPosition? { state.withLock { $0.newest } }

  /// How many lines were dropped since the spool was opened because they had been written in part, or were damaged on
  /// the disk. A line that was written in part belongs to an `append` that did not return.
  public var damagedLines: Int { state.withLock { $0.damaged } }

  /// How many bytes the spool has on the disk.
  public var bytes: Int { state.withLock { $0.bytes } }

  /// Adds `reports` at the end, and returns when they are on the disk.
  /// - Throws: `FlowSpoolError`; then none of them is spooled, or, where they fill more than one segment, the first of
  ///   them are, up to `newestPosition`.
  public func append(_ reports: [Report]) throws(FlowSpoolError) {
    for report in reports {
      let limit = min(Self.reportLimit, segmentBytes / 4)
      guard report.json.utf8.count <= limit, !report.json.utf8.contains(0x0A) else {
        throw .unfit(bytes: report.json.utf8.count, limit: limit)
      }
    }
    try locked { (state) throws(FlowSpoolError) in
      var rest = reports[...]
      while let first = rest.first {
        var chunk = SpoolLine.report(first.position, json: first.json).bytes
        if state.isLastSpoilt || state.segments[state.segments.count - 1].size + chunk.count > segmentBytes {
          try beginSegment(&state)
        }
        let room = segmentBytes - state.segments[state.segments.count - 1].size
        var newest = first.position
        rest.removeFirst()
        while let next = rest.first {
          let line = SpoolLine.report(next.position, json: next.json).bytes
          guard chunk.count + line.count <= room else { break }
          chunk += line
          newest = next.position
          rest.removeFirst()
        }
        try makeRoom(for: chunk.count, &state)
        try add(chunk, &state)
        state.newest = newest
      }
    }
  }

  /// The oldest reports that are not acknowledged, without removing them: the same ones until they are.
  /// - Parameter limit: at most `batchLimit` count.
  /// - Throws: `FlowSpoolError`
  public func nextBatch(limit: Int = batchLimit) throws(FlowSpoolError) -> Batch {
    try locked { (state) throws(FlowSpoolError) in
      var place = state.start
      var damaged = 0
      for segment in state.segments where segment.number >= place.segment {
        if segment.number > place.segment { place = SpoolPlace(segment: segment.number, offset: 0) }
        let read = try segment.reports(from: place.offset, limit: max(1, min(limit, Self.batchLimit)))
        place.offset = read.end
        damaged += read.damaged
        if !read.reports.isEmpty { return Batch(reports: read.reports, end: place, damaged: damaged) }
      }
      return Batch(reports: [], end: place, damaged: damaged)
    }
  }

  /// Takes the reports of `batch` out. A batch that was acknowledged, or whose reports were dropped meanwhile, changes
  /// nothing.
  /// - Throws: `FlowSpoolError`; then the batch still waits.
  public func acknowledge(_ batch: Batch) throws(FlowSpoolError) {
    try locked { (state) throws(FlowSpoolError) in
      guard batch.end > state.start else { return }
      try state.acknowledgement.move(to: batch.end, by: write)
      state.damaged += batch.damaged
      while state.segments.count > 1, let oldest = state.segments.first,
        oldest.number < batch.end.segment || (oldest.number == batch.end.segment && oldest.size <= batch.end.offset)
      {
        try oldest.remove()
        state.segments.removeFirst()
      }
    }
  }

  /// `Mutex.withLock` with a typed error.
  private func locked<Value: Sendable>(
    _ act: (inout State) throws(FlowSpoolError) -> Value
  ) throws(FlowSpoolError) -> Value {
    let result = state.withLock { state -> Result<Value, FlowSpoolError> in
      do throws(FlowSpoolError) {
        return .success(try act(&state))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private func beginSegment(_ state: inout State) throws(FlowSpoolError) {
    let segment = try SpoolSegment(
      directory: directory, number: state.segments[state.segments.count - 1].number + 1, newest: state.newest,
      folder: folder, write: write)
    state.segments.append(segment)
    state.isLastSpoilt = false
  }

  /// Adds lines to the last segment, or leaves it as it was.
  private func add(_ lines: [UInt8], _ state: inout State) throws(FlowSpoolError) {
    let last = state.segments.count - 1
    do throws(FlowSpoolError) {
      try state.segments[last].add(lines, by: write)
    } catch {
      state.isLastSpoilt = !state.segments[last].restoreEnd()
      throw error
    }
  }

  /// Drops the oldest segments until `count` more bytes fit.
  private func makeRoom(for count: Int, _ state: inout State) throws(FlowSpoolError) {
    while state.segments.count > 1, state.bytes + count + Self.lossBytes > maximumBytes {
      let oldest = state.segments[0]
      let start = state.start
      let lost = try oldest.weight(from: start.segment == oldest.number ? start.offset : 0)
      if lost.count > 0 {
        // Told before it is done: should the process end in between, the same report has the same id.
        let loss = LostFlows(
          id: "spool-\(hexadecimal(oldest.number))-\(lost.digest)", at: clock.now(), count: lost.count,
          reason: "spool_full")
        try add(SpoolLine.loss(lost.count, json: loss.json.canonicalText).bytes, &state)
      }
      try oldest.remove()
      state.segments.removeFirst()
    }
  }

  /// More than a report of lost ones has.
  private static let lossBytes = 512
}
