import AgentProtocols
import CASACore
import Sidecar
import Testing

@testable import Injection

@Suite("Any pod")
struct RandomPodTests {
  @Test("that is injected is let in, is changed no further, and is found to be what it was", arguments: 0..<400)
  func roundTrip(seed: UInt64) throws {
    var random = SeededNumbers(state: seed)
    let settings = configuration { settings in
      settings.usesNativeSidecars = random.flip()
      settings.defaultUser = random.flip() ? 2000 : nil
    }
    let pod = random.pod()
    let response = try mutation(of: pod, settings)
    guard let patch = response.patch else {
      Issue.record("refused: \(response.reason): \(pod.canonicalText)")
      return
    }
    let made = try pod.patched(patch)
    #expect(try validation(of: made, settings).reason == "")
    #expect(try mutation(of: made, settings).patch == [])
    // What was there before is there still, and in its order.
    let (was, isNow) = (pod.containers("initContainers"), made.containers("initContainers"))
    #expect(isNow.suffix(was.count).map { $0["image"] } == was.map { $0["image"] })
    for (name, value) in pod["spec"]?.object ?? [:]
    where !["containers", "initContainers", "volumes", "securityContext"].contains(name) {
      #expect(made["spec"]?[name] == value)
    }
  }
}

/// A small generator whose numbers are the same for a seed (SplitMix64).
private struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func flip() -> Bool { Bool.random(using: &self) }
  mutating func upTo(_ most: Int) -> Int { Int.random(in: 0...most, using: &self) }

  mutating func pod() -> JSONValue {
    var spec: [String: JSONValue] = [
      "securityContext": flip() ? ["runAsUser": 1000, "fsGroup": 3000] : ["runAsUser": 0],
      "containers": .array((0...upTo(3)).map { index in container("app\(index)") }),
    ]
    if flip() { spec["initContainers"] = .array((0..<upTo(2)).map { index in container("prepare\(index)") }) }
    if flip() { spec["volumes"] = .array((0..<upTo(3)).map { ["name": .string("v\($0)"), "emptyDir": [:]] }) }
    if flip() { spec["volumes"] = .some(spec["volumes"] ?? .null) }
    if flip() { spec["nodeSelector"] = ["a/b~c": "d"] }
    if flip() { spec["dnsConfig"] = ["options": [["name": "ndots", "value": "2"]]] }
    var metadata: [String: JSONValue] = ["name": "pod", "namespace": "bank"]
    if flip() { metadata["labels"] = flip() ? [:] : ["a/b~c": "d"] }
    if flip() { metadata["annotations"] = flip() ? .null : ["e": "f"] }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": .object(metadata), "spec": .object(spec)]
  }

  private mutating func container(_ name: String) -> JSONValue {
    var made: [String: JSONValue] = [
      "name": .string(name), "image": .string("image-\(upTo(99))"),
      "ports": [["name": "http", "containerPort": .number(Double(1024 + upTo(9000)))]],
    ]
    if flip() { made["securityContext"] = flip() ? [:] : ["runAsUser": 7, "capabilities": ["drop": ["NET_RAW"]]] }
    for kind in WorkloadProbes.Kind.allCases where flip() {
      var probe: JSONValue =
        switch upTo(4) {
        case 0: ["httpGet": ["port": "http", "path": "/x?y=z", "scheme": "HTTPS"]]
        case 1: ["httpGet": ["port": 8080, "httpHeaders": [["name": "Host", "value": "a.example"]]]]
        case 2: ["tcpSocket": ["port": "http"]]
        case 3: ["grpc": ["port": 9000, "service": ""]]
        default: ["exec": ["command": ["true"]]]
        }
      if flip() { probe = probe.setting("timeoutSeconds", to: .number(Double(1 + upTo(9)))) }
      if flip() { probe = probe.setting("periodSeconds", to: 3) }
      made[kind.member] = probe
    }
    return .object(made)
  }
}
