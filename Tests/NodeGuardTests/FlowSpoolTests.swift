import AgentProtocols
import CASACore
import Foundation
import Glibc
import SeededRandom
import Synchronization
import Testing

@testable import NodeGuard

/// Writes until `room` bytes are written, and then fails as a full file system does: it takes a part first.
private final class FailingDisk: Sendable {
  let room: Mutex<Int>

  init(room: Int = .max) { self.room = Mutex(room) }

  var write: SpoolFile.Write {
    { descriptor, bytes in
      self.room.withLock { room in
        let count = min(room, bytes.count)
        guard count > 0 else {
          errno = ENOSPC
          return -1
        }
        room -= count
        return Glibc.write(descriptor, bytes.baseAddress, count)
      }
    }
  }
}

@Suite("The spool of flows")
struct FlowSpoolTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.path + "/spool" }

  private func open(
    _ path: String? = nil, segmentBytes: Int = 32_768, write: @escaping SpoolFile.Write = SpoolFile.systemWrite
  ) throws -> FlowSpool {
    try FlowSpool(
      directory: path ?? self.path, segmentBytes: segmentBytes, clock: WallClock { Timestamp(milliseconds: 1) },
      write: write)
  }

  private func reports(_ numbers: Range<Int>) -> [FlowSpool.Report] {
    numbers.map {
      FlowSpool.Report(position: SpoolPosition(source: 1, offset: UInt64($0)), json: "{\"id\":\"\($0) x\"}")
    }
  }

  /// All that waits, acknowledging it.
  private func drain(_ spool: FlowSpool) throws -> [String] {
    var all: [String] = []
    while true {
      let batch = try spool.nextBatch()
      if batch.reports.isEmpty { return all }
      all += batch.reports
      try spool.acknowledge(batch)
    }
  }

  @Test("hands out what was appended, in order, until it is acknowledged")
  func queue() throws {
    let spool = try open()
    #expect(try spool.nextBatch().reports.isEmpty)
    #expect(spool.newestPosition == nil)
    try spool.append([])
    try spool.append(reports(0..<150))
    try spool.append(reports(150..<160))
    #expect(spool.newestPosition == SpoolPosition(source: 1, offset: 159))
    let first = try spool.nextBatch()
    #expect(first.reports == reports(0..<100).map(\.json))
    #expect(try spool.nextBatch() == first)
    try spool.acknowledge(first)
    try spool.acknowledge(first)
    #expect(try spool.nextBatch(limit: 5).reports == reports(100..<105).map(\.json))
    #expect(try drain(spool) == reports(100..<160).map(\.json))
    #expect(try spool.nextBatch().reports.isEmpty)
    #expect(spool.damagedLines == 0)
  }

  @Test("goes on where it was when it is opened again")
  func reopened() throws {
    do {
      let spool = try open()
      try spool.append(reports(0..<10))
      try spool.acknowledge(spool.nextBatch(limit: 4))
    }
    do {
      let spool = try open()
      #expect(spool.newestPosition?.offset == 9)
      try spool.append(reports(10..<12))
      try spool.acknowledge(spool.nextBatch(limit: 4))
    }
    let spool = try open()
    #expect(try drain(spool) == reports(8..<12).map(\.json))
    #expect(spool.newestPosition?.offset == 11)
  }

  @Test("is the owner's alone, and one process's at a time")
  func isPrivate() throws {
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    let spool = try open()
    try spool.append(reports(0..<1))
    func mode(_ path: String) throws -> Int? {
      try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }
    #expect(try mode(path) == 0o700)
    let files = try FileManager.default.contentsOfDirectory(atPath: path)
    #expect(files.count == 2)
    for file in files { #expect(try mode(path + "/" + file) == 0o600) }
    #expect(throws: FlowSpoolError.inUse(path)) { try open() }
    #expect(throws: FlowSpoolError.self) { try open(path + "/a/b") }
    withExtendedLifetime(spool) {}
  }

  @Test("takes no report that is too long, or of two lines")
  func unfit() throws {
    let spool = try open()
    let position = SpoolPosition(source: 1, offset: 1)
    for json in [String(repeating: "x", count: 10_000), "{}\n{}"] {
      #expect(throws: FlowSpoolError.self) {
        try spool.append(reports(0..<1) + [FlowSpool.Report(position: position, json: json)])
      }
    }
    #expect(try spool.nextBatch().reports.isEmpty)
  }

  @Test("keeps every report that was whole when the process ended, wherever it ended")
  func torn() throws {
    let lengths: [Int]
    let file: String
    let content: [UInt8]
    do {
      let spool = try open()
      try spool.append(reports(0..<3))
      try spool.append(reports(3..<5))
      let name = try #require(FileManager.default.contentsOfDirectory(atPath: path).first { $0.hasSuffix(".spool") })
      file = name
      content = Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
      lengths = content.indices.filter { content[$0] == 0x0A }.map { $0 + 1 }
    }
    #expect(lengths.count == 6)
    for count in 0...content.count {
      let path = directory.path + "/cut\(count)"
      try directory.make("/cut\(count)")
      try Data(content.prefix(count)).write(to: URL(fileURLWithPath: path + "/" + file))
      let spool = try open(path)
      let whole = max(0, lengths.filter { $0 <= count }.count - 1)
      #expect(spool.damagedLines == (count == 0 || lengths.contains(count) ? 0 : 1), "\(count)")
      #expect(spool.newestPosition?.offset == (whole == 0 ? nil : UInt64(whole - 1)), "\(count)")
      // What was not spooled comes again.
      try spool.append(reports(whole..<6))
      #expect(try drain(spool) == reports(0..<6).map(\.json), "\(count)")
    }
  }

  @Test("takes nothing for a report that was damaged on the disk, and loses nothing else")
  func damaged() throws {
    do { try open().append(reports(0..<5)) }
    let name = try #require(FileManager.default.contentsOfDirectory(atPath: path).first { $0.hasSuffix(".spool") })
    let content = Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    let starts = [0] + content.indices.filter { content[$0] == 0x0A }.map { $0 + 1 }
    for index in stride(from: 0, to: content.count, by: 7) {
      var changed = content
      changed[index] ^= 0x10
      try Data(changed).write(to: URL(fileURLWithPath: path + "/" + name))
      let spool = try open()
      let got = try drainUnacknowledged(spool)
      let line = starts.lastIndex { $0 <= index } ?? 0
      if changed[index] != 0x0A, content[index] != 0x0A {
        #expect(
          got == reports(0..<5).map(\.json).enumerated().filter { $0.offset != line - 1 }.map(\.element), "\(index)")
      }
      #expect(Set(got).isSubset(of: Set(reports(0..<5).map(\.json))))
    }
  }

  private func drainUnacknowledged(_ spool: FlowSpool) throws -> [String] { try spool.nextBatch().reports }

  @Test("an acknowledgement that was torn is the one before it")
  func tornAcknowledgement() throws {
    do { try open().append(reports(0..<10)) }
    for _ in 0..<3 {
      let spool = try open()
      try spool.acknowledge(spool.nextBatch(limit: 2))
    }
    let file = path + "/acknowledged"
    let content = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    #expect(content.count == 128)
    for index in content.indices {
      var changed = content
      changed[index] ^= 1
      try Data(changed).write(to: URL(fileURLWithPath: file))
      let next = try open().nextBatch(limit: 1).reports
      // The third was written over the first.
      #expect(next == [index < 64 ? reports(4..<5)[0].json : reports(6..<7)[0].json], "\(index)")
    }
    try Data().write(to: URL(fileURLWithPath: file))
    #expect(try open().nextBatch().reports == reports(0..<10).map(\.json))
  }

  @Test("is bounded: the oldest go, and are counted")
  func bounded() throws {
    let spool = try open(segmentBytes: 2048)
    for start in stride(from: 0, to: 1000, by: 10) {
      try spool.append(reports(start..<(start + 10)))
      #expect(spool.bytes <= 8 * 2048)
    }
    let onDisk: Int = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".spool") }
      .reduce(0) {
        try $0 + ((FileManager.default.attributesOfItem(atPath: path + "/" + $1)[.size] as? Int) ?? 0)
      }
    #expect(onDisk == spool.bytes)
    var kept: [String] = []
    var lost: Int64 = 0
    var ids: Set<String> = []
    for text in try drain(spool) {
      let json = try JSONValue(parsing: text)
      guard json["kind"] == "flows_lost" else {
        kept.append(text)
        continue
      }
      lost += json["count"]?.integer ?? 0
      #expect(try ids.insert(#require(json["id"]?.string)).inserted)
    }
    #expect(kept == reports((1000 - kept.count)..<1000).map(\.json))
    #expect(kept.count > 50 && Int(lost) == 1000 - kept.count)
    #expect(spool.newestPosition?.offset == 999)
  }

  @Test("a batch whose reports were dropped meanwhile can be acknowledged, and takes nothing else")
  func droppedBatch() throws {
    let spool = try open(segmentBytes: 2048)
    try spool.append(reports(0..<10))
    let batch = try spool.nextBatch()
    for start in stride(from: 10, to: 1000, by: 10) { try spool.append(reports(start..<(start + 10))) }
    let next = try spool.nextBatch()
    try spool.acknowledge(batch)
    #expect(try spool.nextBatch() == next)
  }

  @Test("acknowledged segments leave the disk")
  func shrinks() throws {
    let spool = try open(segmentBytes: 2048)
    for start in stride(from: 0, to: 100, by: 10) { try spool.append(reports(start..<(start + 10))) }
    let before = spool.bytes
    #expect(try drain(spool).count == 100)
    #expect(spool.bytes < before / 2)
    #expect(spool.bytes <= 2048)
  }

  @Test("a full disk is an error, after which all that was spooled is there and more can be")
  func fullDisk() throws {
    for room in stride(from: 1, to: 1400, by: 13) {
      let path = directory.path + "/full\(room)"
      let disk = FailingDisk()
      let spool = try open(path, segmentBytes: 1024, write: disk.write)
      disk.room.withLock { $0 = room }
      var next = 0
      while (try? spool.append(reports(next..<(next + 3)))) != nil { next += 3 }
      #expect(throws: FlowSpoolError.noSpace) { try spool.append(reports(next..<(next + 3))) }
      // Of an append that failed, the first may be there where a segment was full.
      let from = spool.newestPosition.map { Int($0.offset) + 1 } ?? 0
      #expect(from >= next)
      let waiting = try spool.nextBatch().reports
      #expect(waiting == reports(0..<waiting.count).map(\.json) && waiting.isEmpty == (from == 0))
      disk.room.withLock { $0 = .max }
      try spool.append(reports(from..<(from + 3)))
      #expect(try drain(spool) == reports(0..<(from + 3)).map(\.json), "\(room)")
      #expect(spool.damagedLines == 0)
    }
  }

  /// Whatever happens between, each report is handed out, in order, and none again that was acknowledged.
  @Test("loses nothing through any sequence of appends, acknowledgements, full disks and ends of the process")
  func anySequence() throws {
    var generator = SeededGenerator(seed: 11)
    for round in 0..<30 {
      let path = directory.path + "/round\(round)"
      let disk = FailingDisk()
      var spool: FlowSpool? = try open(path, segmentBytes: 4096, write: disk.write)
      var appended = 0
      var acknowledged = 0
      for _ in 0..<60 {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0...2:
          if Int.random(in: 0..<6, using: &generator) == 0 {
            disk.room.withLock { $0 = Int.random(in: 0..<600, using: &generator) }
          }
          try? spool?.append(reports(appended..<(appended + Int.random(in: 0..<12, using: &generator))))
          disk.room.withLock { $0 = .max }
          appended = spool?.newestPosition.map { Int($0.offset) + 1 } ?? 0
        case 3...5:
          let batch = try #require(try spool?.nextBatch(limit: Int.random(in: 1...30, using: &generator)))
          #expect(batch.reports == reports(acknowledged..<(acknowledged + batch.reports.count)).map(\.json))
          if Bool.random(using: &generator) {
            try spool?.acknowledge(batch)
            acknowledged += batch.reports.count
          }
        default:
          spool = nil
          // The process ended within an append: a part of a line, or of several, is there.
          if Bool.random(using: &generator) {
            let files = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".spool") }
              .sorted()
            let last = try #require(files.last)
            let file = try #require(FileHandle(forWritingAtPath: path + "/" + last))
            try file.seekToEnd()
            let line = SpoolLine.report(
              SpoolPosition(source: 1, offset: UInt64(appended)), json: reports(appended..<(appended + 1))[0].json
            ).bytes
            try file.write(contentsOf: Data(line.prefix(Int.random(in: 0...line.count, using: &generator))))
            try file.close()
          }
          spool = try open(path, segmentBytes: 4096, write: disk.write)
          let newest = spool?.newestPosition.map { Int($0.offset) + 1 } ?? 0
          #expect(newest == appended || newest == appended + 1)
          appended = newest
        }
        // Not so much that the oldest are dropped.
        if appended - acknowledged > 150, let open = spool {
          #expect(try drain(open) == reports(acknowledged..<appended).map(\.json))
          acknowledged = appended
        }
      }
      #expect(try drain(#require(spool)) == reports(acknowledged..<appended).map(\.json))
    }
  }

  @Test("appends and reads from several threads at once")
  func threads() async throws {
    let spool = try open(segmentBytes: 65_536)
    let got = try await withThrowingTaskGroup(of: [String].self) { group in
      for writer in 0..<4 {
        group.addTask {
          for start in 0..<20 {
            try spool.append(
              (0..<5).map {
                FlowSpool.Report(position: SpoolPosition(source: 1, offset: 1), json: "\(writer) \(start) \($0)")
              })
          }
          return []
        }
      }
      group.addTask {
        var all: [String] = []
        while all.count < 400 {
          let batch = try spool.nextBatch()
          all += batch.reports
          try spool.acknowledge(batch)
          if batch.reports.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        }
        return all
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(got.count == 400 && Set(got).count == 400)
  }
}
