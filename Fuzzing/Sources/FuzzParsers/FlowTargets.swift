import AgentProtocols
import CASACore
import TokenService

/// Reads the input as one report of a node, at a moment that the kept inputs know.
@Sendable func fuzzFlowReport(_ bytes: [UInt8]) {
  let now = Timestamp(seconds: 1_800_000_000)
  guard let json = try? JSONValue(parsing: bytes), let report = try? FlowReport(json: json, now: now) else { return }
  require((1...100).contains(report.id.utf8.count), "an id is bounded")
  require(abs(report.at.milliseconds - now.milliseconds) <= 30 * 86_400_000, "a moment is near")
  require((report.token != nil) == (report.kind == .tokenSeen), "a token is told of where it was seen")
  require(report.kind != .tokenSeen || report.direction != nil, "a token goes one way")
  for (name, value) in report.payload {
    switch value {
    case .string(let text):
      require(
        text.utf8.count <= 253 && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }, "texts are short and ASCII")
    case .number: require(value.integer.map { $0 >= 0 || name == "rule" } ?? false, "numbers are whole counts")
    default: fatalError("broken: a payload holds texts and numbers")
    }
  }
  if let remote = report.remote { require(SocketAddress(remote.description) == remote, "an address is read again") }
  var again = report.payload
  again["kind"] = .string(report.kind.rawValue)
  again["id"] = .string(report.id)
  again["at"] = .number(Double(report.at.milliseconds))
  let second = try? FlowReport(json: .object(again), now: now)
  require(second?.payload == report.payload, "what is stored reads as what was read")
}
