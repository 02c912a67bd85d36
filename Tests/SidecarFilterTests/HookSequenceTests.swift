import AgentProtocols
import CEnvoyModule
import Foundation
import SidecarFilter
import Testing

/// Numbers that are the same in every run.
struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

/// Envoy's hooks in any order, with any content. `CASA_HOOK_SEQUENCES` says how many.
@Suite("Any sequence of hooks")
struct HookSequenceTests {
  private static let count = ProcessInfo.processInfo.environment["CASA_HOOK_SEQUENCES"].flatMap { Int($0) } ?? 20_000

  @Test("lets pass only what was admitted, once, and answers at most once")
  func sequences() throws {
    var numbers = SeededNumbers(seed: 1)
    var driver = Driver(loaded: try #require(LoadedFilter()))
    for index in 0..<Self.count {
      driver.run(&numbers)
      if index % 500 == 499 { driver = Driver(loaded: try #require(LoadedFilter()), counts: driver.counts) }
    }
    // All of it happens.
    #expect(driver.counts.asked > 0 && driver.counts.passed > 0 && driver.counts.reused > 0)
    #expect(driver.counts.refused > 0)
  }

  @Test("on several threads at once, with deliveries and revocations between")
  func threads() async throws {
    let loaded = try #require(LoadedFilter())
    nonisolated(unsafe) let shared = loaded  // Made for Envoy's threads.
    await withTaskGroup(of: Void.self) { group in
      for seed in 1...4 {
        group.addTask {
          var numbers = SeededNumbers(seed: UInt64(seed))
          var driver = Driver(loaded: shared, isMainThread: seed == 1)
          for _ in 0..<Self.count / 10 { driver.run(&numbers) }
        }
      }
    }
  }

  @Test("takes no configuration that is not one", arguments: 0..<2)
  func configurations(seed: Int) {
    var numbers = SeededNumbers(seed: UInt64(seed))
    let text = Samples.settings.canonicalBytes
    for _ in 0..<2000 {
      let changed = mutated(text, &numbers)
      guard changed != text else { continue }
      _ = LoadedFilter(changed)
    }
    #expect(LoadedFilter([]) == nil)
    #expect(LoadedFilter(Array("{}".utf8)) == nil)
  }
}

private func mutated(_ bytes: [UInt8], _ numbers: inout SeededNumbers) -> [UInt8] {
  var bytes = bytes
  for _ in 0..<Int.random(in: 0...2, using: &numbers) {
    let index = Int.random(in: 0...bytes.count, using: &numbers)
    switch Int.random(in: 0..<4, using: &numbers) {
    case 0 where index < bytes.count: bytes[index] = .random(in: 0...255, using: &numbers)
    case 1 where index < bytes.count: bytes.remove(at: index)
    case 2: bytes.insert(.random(in: 0...255, using: &numbers), at: index)
    default: bytes.removeSubrange(index...)
    }
  }
  return bytes
}

private struct Driver {
  struct Counts {
    var asked = 0
    var passed = 0
    var reused = 0
    var refused = 0
  }

  let loaded: LoadedFilter
  var counts = Counts()
  var isMainThread = true

  mutating func run(_ numbers: inout SeededNumbers) {
    let stream = loaded.begin(fields(&numbers))
    stream.refusesHeaders = chance(1, in: 50, &numbers)
    stream.refusesSetting = chance(1, in: 20, &numbers)
    stream.receivedIsBuffered = chance(1, in: 20, &numbers)
    stream.isDestroyedByResponse = chance(1, in: 4, &numbers)
    if chance(1, in: 50, &numbers) { stream.claimedBodySize = .random(in: .min ... .max, using: &numbers) }
    stream.mode = chance(1, in: 4, &numbers) ? FakeStream.CalloutMode.allCases.randomElement(using: &numbers)! : .begins
    let atOnce = answer(&numbers)
    var admitted = false
    stream.answerAtOnce = { stream in
      admitted = admitted || atOnce.admits
      stream.answer(atOnce.fields, atOnce.body, result: atOnce.result)
    }
    var headersSeen = false
    for _ in 0..<Int.random(in: 1...8, using: &numbers) {
      guard stream.filter != nil else { break }
      let asked = stream.questions.count
      let passed = stream.passages
      switch Int.random(in: 0..<12, using: &numbers) {
      case 0...4 where !headersSeen, 0:
        headersSeen = true
        stream.headers(isLast: chance(1, in: 2, &numbers))
      case 1...4:
        var body = Array(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.utf8)
        if chance(1, in: 3, &numbers) { body = mutated(body, &numbers) }
        if chance(1, in: 200, &numbers) { body = [UInt8](repeating: 0x20, count: 600_000) }
        stream.data(chance(1, in: 4, &numbers) ? [] : body, isLast: chance(1, in: 2, &numbers))
      case 5: stream.trailers()
      case 6...9:
        let answer = answer(&numbers)
        admitted = admitted || answer.admits && stream.hasQuestion
        stream.answer(answer.fields, answer.body, result: answer.result)
      case 10 where isMainThread:
        loaded.deliver()
        if chance(1, in: 2, &numbers) {
          loaded.answerRecords(
            [(":status", chance(1, in: 4, &numbers) ? "500" : "204"), ("x-casa-epoch", epoch(&numbers))],
            result: chance(1, in: 8, &numbers) ? 1 : 0)
        }
      default: if chance(1, in: 10, &numbers) { stream.destroy() }
      }
      if stream.passages > passed {
        counts.passed += 1
        if stream.questions.isEmpty {
          counts.reused += 1
        } else {
          #expect(admitted, "passed without an admitting answer")
        }
      }
      counts.asked += stream.questions.count - asked
    }
    #expect(stream.passages <= 1)
    // What comes after a request that passed is answered, and that once too.
    #expect(stream.responses.count <= 1)
    #expect(stream.questions.count <= 1)
    counts.refused += stream.responses.count
    stream.destroy()
    stream.takeBack()
  }

  private func chance(_ parts: Int, in whole: Int, _ numbers: inout SeededNumbers) -> Bool {
    Int.random(in: 0..<whole, using: &numbers) < parts
  }

  private func epoch(_ numbers: inout SeededNumbers) -> String {
    chance(1, in: 100, &numbers)
      ? ["2", "0", "18446744073709551615", "18446744073709551616", "-1", "01", ""].randomElement(using: &numbers)!
      : "1"
  }

  private func fields(_ numbers: inout SeededNumbers) -> [(name: [UInt8], value: [UInt8])] {
    var fields = Samples.bytes(Samples.get)
    if chance(1, in: 2, &numbers) {
      fields[0].value = Array(["POST", "DELETE", "CONNECT", ""].randomElement(using: &numbers)!.utf8)
    }
    if chance(1, in: 2, &numbers) { fields.append((Array("content-type".utf8), Array("application/json".utf8))) }
    if chance(1, in: 4, &numbers), let index = fields.indices.randomElement(using: &numbers) {
      switch Int.random(in: 0..<4, using: &numbers) {
      case 0: fields.remove(at: index)
      case 1: fields.append(fields[index])
      case 2: fields[index].value = mutated(fields[index].value, &numbers)
      default: fields[index].name = mutated(fields[index].name, &numbers)
      }
    }
    return fields
  }

  private struct Answer {
    var fields: [(name: [UInt8], value: [UInt8])]
    var body: [[UInt8]]
    var result: UInt32
    /// Whether it may be one that admits; one that was changed may still be.
    var admits: Bool
  }

  private func answer(_ numbers: inout SeededNumbers) -> Answer {
    let admits = chance(3, in: 4, &numbers)
    var fields = Samples.bytes(admits ? Samples.admitting : Samples.refusing)
    fields[2].value = Array(epoch(&numbers).utf8)
    for (name, value) in [
      ("x-casa-set-x", "1"), ("x-casa-set-x-casa-read-answer", "1"), ("x-casa-remove", "authorization,b"),
      ("x-casa-answer-token", "t"), ("x-casa-offer", "tools bank -"), ("x-casa-decision", "d"), ("content-type", "a/b"),
    ] where chance(1, in: 4, &numbers) { fields.append((Array(name.utf8), Array(value.utf8))) }
    var body = admits && chance(2, in: 3, &numbers) ? Samples.facts.canonicalBytes : []
    if chance(1, in: 4, &numbers) {
      body = mutated(body, &numbers)
      if let index = fields.indices.randomElement(using: &numbers) {
        switch Int.random(in: 0..<4, using: &numbers) {
        case 0: fields.remove(at: index)
        case 1: fields.append(fields[index])
        case 2: fields[index].value = mutated(fields[index].value, &numbers)
        default: fields[index].name = mutated(fields[index].name, &numbers)
        }
      }
    }
    let cut = Int.random(in: 0...body.count, using: &numbers)
    let result: UInt32 = chance(1, in: 8, &numbers) ? .random(in: 0...3, using: &numbers) : 0
    let verdict = fields.filter { $0.name.elementsEqual("x-casa-verdict".utf8) }
    return Answer(
      fields: fields, body: body.isEmpty ? [] : [Array(body[..<cut]), Array(body[cut...])], result: result,
      admits: result == 0 && verdict.count == 1 && verdict[0].value.elementsEqual("admit".utf8))
  }
}
