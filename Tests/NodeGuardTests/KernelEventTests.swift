import AgentProtocols
import CASACore
import CNodeGuard
import SeededRandom
import Testing

@testable import NodeGuard

@Suite("What the kernel tells")
struct KernelEventTests {
  private let policy: NodePolicy
  private let clock = BootClock(
    bootID: "1a2b3c4d-5e6f-7081-92a3-b4c5d6e7f809\n", started: Timestamp(milliseconds: 1_700_000_000_000))

  init() throws { policy = try NodePolicy(parsing: Array(fullPolicy.utf8)) }

  private static func decode(_ event: casa_event) throws(KernelEventError) -> KernelEvent {
    let bytes = withUnsafeBytes(of: event) { Array($0) }
    return try decode(bytes)
  }

  private static func decode(_ bytes: [UInt8]) throws(KernelEventError) -> KernelEvent {
    let result = bytes.withUnsafeBytes { bytes -> Result<KernelEvent, KernelEventError> in
      do throws(KernelEventError) {
        return .success(try KernelEvent(decoding: bytes))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private func sample(_ kind: casa_event_kind) throws -> casa_event {
    var event = casa_event()
    event.kind = UInt8(kind.rawValue)
    event.at_ns = 5_000_000_000
    event.workload = WorkloadID(name: "agent").rawValue
    event.flow = 77
    event.local = try #require(NetworkAddress("10.0.0.1")).kernelValue
    event.local_port = 40000
    event.remote = try #require(NetworkAddress("10.1.2.3")).kernelValue
    event.remote_port = 8443
    event.direction = 1
    event.protocol = 6
    event.reason = UInt8(CASA_BY_RULE.rawValue)
    event.rule = 2
    return event
  }

  @Test("a closed flow is reported with its counters")
  func closed() throws {
    var event = try sample(CASA_EVENT_CLOSED)
    (event.bytes_out, event.bytes_in, event.packets_out, event.packets_in) = (1, 2, 3, .max)
    event.duration_ns = 1_999_999
    event.suppressed = 9
    let decoded = try Self.decode(event)
    let json = try #require(decoded.json(in: policy, clock: clock))
    #expect(
      json == [
        "kind": "flow_closed", "id": .string(decoded.id(boot: "1a2b3c4d")), "at": 1_700_000_005_000,
        "workload": "agent",
        "app_id": "app_agent", "flow": "77", "direction": "outbound", "protocol": "tcp", "local": "10.0.0.1:40000",
        "remote": "10.1.2.3:8443", "peer_app_id": "app_bank", "reason": "rule", "rule": 2, "bytes_out": 1,
        "bytes_in": 2,
        "packets_out": 3, "packets_in": 9_007_199_254_740_991, "duration_ms": 1, "suppressed": 9,
      ])
  }

  @Test("a refusal says why and where")
  func refused() throws {
    var event = try sample(CASA_EVENT_REFUSED)
    event.reason = UInt8(CASA_SNI_OTHER.rawValue)
    event.hook = UInt8(CASA_HOOK_EGRESS.rawValue)
    event.observed_only = 1
    event.flow = 0
    event.rule = 0
    event.local = casa_address()
    event.local_port = 0
    event.protocol = 1
    event.workload = WorkloadID.unnamed.rawValue
    let json = try #require(Self.decode(event).json(in: policy, clock: clock))
    #expect(json["reason"] == "sni_other")
    #expect(json["hook"] == "egress")
    #expect(json["observed_only"] == true)
    #expect(json["protocol"] == "icmp")
    #expect(json["workload"] == "(unnamed)")
    for absent in ["flow", "rule", "local", "app_id", "bytes_out", "token_sha256"] { #expect(json[absent] == nil) }
    event.workload = 0xFE
    #expect(try Self.decode(event).json(in: policy, clock: clock)?["workload"] == "(00000000000000fe)")
  }

  @Test("a token is reported by its hash, with what is printable of method and path")
  func token() throws {
    var event = try sample(CASA_EVENT_TOKEN)
    withUnsafeMutableBytes(of: &event.token) { $0.copyBytes(from: (0..<32).map { UInt8($0) }) }
    withUnsafeMutableBytes(of: &event.method) { $0.copyBytes(from: "POST".utf8) }
    withUnsafeMutableBytes(of: &event.path) {
      $0.copyBytes(from: [0x2F, 0x1B, 0xC3, 0xA9, 0x0A] + Array(repeating: 0x61, count: 59))
    }
    let json = try #require(Self.decode(event).json(in: policy, clock: clock))
    #expect(json["token_sha256"] == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    #expect(json["method"] == "POST")
    #expect(json["path"] == .string("/????" + String(repeating: "a", count: 59)))
    event.direction = 0
    #expect(throws: KernelEventError.direction(0)) { try Self.decode(event) }
  }

  @Test("an admitted address is not reported, nor is a cgroup that was made")
  func unreported() throws {
    #expect(try Self.decode(sample(CASA_EVENT_CGROUP)).json(in: policy, clock: clock) == nil)
    #expect(try Self.decode(sample(CASA_EVENT_ADMITTED)).json(in: policy, clock: clock) == nil)
  }

  @Test("an event has one name, and every other another")
  func ids() throws {
    var ids: Set<String> = []
    var event = try sample(CASA_EVENT_OPENED)
    for change in 0..<6 {
      switch change {
      case 1: event.at_ns += 1
      case 2: event.flow += 1
      case 3: event.kind = UInt8(CASA_EVENT_CLOSED.rawValue)
      case 4: event.process += 1
      case 5: event.remote_port += 1
      default: break
      }
      let id = try Self.decode(event).id(boot: clock.boot)
      #expect(try Self.decode(event).id(boot: clock.boot) == id)
      #expect(id.hasPrefix("1a2b3c4d-flow_"))
      #expect((1...100).contains(id.utf8.count))
      ids.insert(id)
    }
    #expect(ids.count == 6)
    (event.at_ns, event.flow) = (.max, .max)
    #expect(try Self.decode(event).id(boot: clock.boot).utf8.count <= 64)
  }

  @Test("all names are short lowercase words, and no two are the same")
  func names() {
    for names in [
      FlowReason.allCases.map(\.description), KernelHook.allCases.map(\.description),
      KernelEvent.Kind.allCases.map(\.description),
      FlowDirection.allCases.map(\.description),
    ] {
      #expect(Set(names).count == names.count)
      for name in names {
        #expect((1...40).contains(name.utf8.count))
        #expect(name.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "_") })
      }
    }
    #expect(FlowReason.allCases.filter(\.isAllowance).count == 5)
    #expect(FlowReason.memory.rawValue == UInt8(CASA_MEMORY.rawValue))
    #expect(FlowReason.dnsForged.rawValue == UInt8(CASA_DNS_FORGED.rawValue))
    #expect(KernelHook.syscall.rawValue == UInt8(CASA_HOOK_SYSCALL.rawValue))
    #expect(KernelEvent.Kind.cgroup.rawValue == UInt8(CASA_EVENT_CGROUP.rawValue))
  }

  @Test("every other number is refused, and every other length")
  func unknown() throws {
    let event = try sample(CASA_EVENT_OPENED)
    for value in UInt8.min ... .max {
      var other = event
      other.kind = value
      #expect((try? Self.decode(other)) == nil ? !(1...7).contains(value) : (1...7).contains(value))
      other = event
      other.reason = value
      let isReason = value <= 5 || (16...30).contains(value)
      #expect((try? Self.decode(other)) == nil ? !isReason : isReason)
      other = event
      other.hook = value
      #expect((try? Self.decode(other)) == nil ? value > 7 : value <= 7)
      other = event
      other.direction = value
      #expect((try? Self.decode(other)) == nil ? value > 2 : value <= 2)
    }
    let bytes = withUnsafeBytes(of: event) { Array($0) }
    for count in 0..<(bytes.count * 2) where count != bytes.count {
      #expect(throws: KernelEventError.length(count, expected: bytes.count)) {
        try Self.decode(Array((bytes + bytes).prefix(count)))
      }
    }
    // Where they begin in memory does not matter.
    let shifted = ([0] + bytes).withUnsafeBytes {
      try? KernelEvent(decoding: UnsafeRawBufferPointer(rebasing: $0[1...]))
    }
    #expect(try shifted == Self.decode(event))
  }

  @Test("any bytes are an event or an error, and every report can be written as JSON")
  func random() throws {
    var generator = SeededGenerator(seed: 5)
    var decoded = 0
    for _ in 0..<5000 {
      var event = casa_event()
      withUnsafeMutableBytes(of: &event) { bytes in
        for index in bytes.indices { bytes[index] = UInt8.random(in: 0 ... .max, using: &generator) }
      }
      event.kind = UInt8.random(in: 1...7, using: &generator)
      event.hook = UInt8.random(in: 0...7, using: &generator)
      event.reason = UInt8.random(in: 16...30, using: &generator)
      event.direction = UInt8.random(in: 0...2, using: &generator)
      guard let read = try? Self.decode(event) else { continue }
      decoded += 1
      guard let json = read.json(in: policy, clock: clock) else { continue }
      #expect(try JSONValue(parsing: json.canonicalBytes) == json)
      #expect(!json.canonicalBytes.contains(0x0A))
    }
    #expect(decoded > 3000)
  }

  @Test("time since boot becomes the time of day")
  func clocks() throws {
    #expect(clock.boot == "1a2b3c4d")
    #expect(clock.timestamp(1_500_000).milliseconds == 1_700_000_000_001)
    _ = clock.timestamp(.max)
    let machine = try BootClock.current()
    #expect(machine.boot.utf8.count == 8)
    #expect(abs(machine.timestamp(0).milliseconds - machine.started.milliseconds) == 0)
    #expect(machine.started < WallClock.system.now())
  }

  @Test("lost flows are reported with their count")
  func lost() {
    let lost = LostFlows(id: "x", at: Timestamp(milliseconds: 5), count: 7, reason: "spool_full")
    #expect(lost.json["kind"] == "flows_lost" && lost.json["count"] == 7 && lost.json["workload"] == "(node)")
  }
}
