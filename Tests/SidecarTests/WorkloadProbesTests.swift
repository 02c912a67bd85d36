import CASACore
import Testing

@testable import Sidecar

@Suite("The probes that a sidecar carries out")
struct WorkloadProbesTests {
  @Test("are written so that they read back")
  func readBack() throws {
    var probes = WorkloadProbes()
    probes[.init(container: "app", kind: .liveness)] = try WorkloadProbe(
      ["httpGet": ["port": "http", "httpHeaders": [["name": "Host", "value": "a.example"]]], "timeoutSeconds": 3],
      namedPorts: ["http": 8080])
    probes[.init(container: "app", kind: .startup)] = try WorkloadProbe(["tcpSocket": ["port": 1]])
    probes[.init(container: "b-2", kind: .readiness)] = try WorkloadProbe(["grpc": ["port": 9, "service": "x"]])
    #expect(probes.probes.count == 3)
    #expect(try WorkloadProbes(parsing: probes.text) == probes)
    #expect(try WorkloadProbe(["exec": ["command": ["true"]]]) == nil)
  }

  @Test(
    "are refused when they are anything else",
    arguments: [
      "", "[]", "{\"app\":{}}", "{\"app/liveness\":{}}", "{\"app/liveness\":{\"httpGet\":{\"port\":\"http\"}}}",
      "{\"../liveness\":{\"tcpSocket\":{\"port\":1}}}", "{\"app/other\":{\"tcpSocket\":{\"port\":1}}}",
      "{\"app/liveness\":{\"tcpSocket\":{\"port\":1},\"timeoutSeconds\":0}}",
      "{\"app/liveness\":{\"tcpSocket\":{\"port\":1,\"host\":\"10.0.0.1\"}}}",
    ])
  func refused(text: String) { #expect(throws: ConfigurationError.self) { try WorkloadProbes(parsing: text) } }

  @Test("ask gRPC's health service in its words")
  func grpc() {
    #expect(GRPCHealthQuestion(service: "").message == [0, 0, 0, 0, 0])
    #expect(GRPCHealthQuestion(service: "ab").message == [0, 0, 0, 0, 4, 0x0A, 2, 0x61, 0x62])
    let long = GRPCHealthQuestion(service: String(repeating: "s", count: 200)).message
    #expect(Array(long.prefix(8)) == [0, 0, 0, 0, 203, 0x0A, 0xC8, 1] && long.count == 208)
    #expect(GRPCHealthQuestion.saysServing([0, 0, 0, 0, 2, 8, 1]))
    for other in [[], [0, 0, 0, 0, 0], [0, 0, 0, 0, 2, 8, 2], [1, 0, 0, 0, 2, 8, 1], [0, 0, 0, 0, 2, 8, 1, 0]] {
      #expect(!GRPCHealthQuestion.saysServing(other.map { UInt8($0) }))
    }
  }
}
