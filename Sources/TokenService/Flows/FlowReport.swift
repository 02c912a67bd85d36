public import CASACore

/// What a node guard saw of a workload's connections, as it reports it. It may come more than once.
public struct FlowReport: Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case flowOpened = "flow_opened"
    case flowClosed = "flow_closed"
    /// The kernel refused a connection.
    case flowRefused = "flow_refused"
    /// A token was in what a workload sent or got.
    case tokenSeen = "token_seen"
    /// A workload is gone.
    case workloadLeft = "workload_left"
    /// The guard could not tell of all it saw.
    case flowsLost = "flows_lost"
  }

  /// As the workload has it.
  public enum Direction: String, Sendable {
    case inbound, outbound
  }

  public let kind: Kind
  /// Unique among all reports of the node, ever.
  public let id: String
  /// When it was seen.
  public let at: Timestamp
  /// As the node's policy names it.
  public let workload: String
  /// The app that the workload is.
  public let appID: AppID?
  /// The app at the other end.
  public let peerAppID: AppID?
  public let direction: Direction?
  public let remote: SocketAddress?
  /// In a report of `tokenSeen`, which has a direction too.
  public let token: TokenHash?
  /// All that is told beside `kind`, `id`, `at` and `app_id`, as it was read.
  public let payload: [String: JSONValue]

  /// How far a node's clock may be ahead.
  static let maximumLead = Duration.seconds(600)
  /// How old a report may be.
  static let maximumAge = Duration.seconds(30 * 86_400)

  private static let counters = [
    "bytes_out", "bytes_in", "packets_out", "packets_in", "duration_ms", "suppressed", "count",
  ]

  /// Reads one element of `POST /trace/events`. Unknown members are ignored, as in the reports of apps.
  /// - Throws: `InvalidField` naming the member that is missing or wrong.
  public init(json: JSONValue, now: Timestamp) throws(InvalidField) {
    let members = Members(json)
    guard let kind = json["kind"]?.string.flatMap({ Kind(rawValue: $0) }) else {
      let known = Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw InvalidField("kind", expected: "\(known): a node reports flows, an app everything else")
    }
    self.kind = kind
    let id = try members.text("id", 1...100, "1 to 100 of A-Z a-z 0-9 . _ : -") { byte in
      isAlphanumeric(byte) || "._:-".utf8.contains(byte)
    }
    guard let id else { throw InvalidField("id", expected: "1 to 100 of A-Z a-z 0-9 . _ : -") }
    self.id = id
    guard let milliseconds = json["at"]?.integer, milliseconds >= 0,
      Timestamp(milliseconds: milliseconds) <= now + Self.maximumLead,
      Timestamp(milliseconds: milliseconds) >= now - Self.maximumAge
    else {
      throw InvalidField(
        "at", expected: "whole milliseconds since 1970, at most 10 minutes ahead and 30 days ago; set the node's clock")
    }
    at = Timestamp(milliseconds: milliseconds)
    guard let workload = try members.printable("workload", 253) else {
      throw InvalidField("workload", expected: "1 to 253 characters of printable ASCII")
    }
    self.workload = workload
    appID = try members.app("app_id")
    peerAppID = try members.app("peer_app_id")
    remote = try members.address("remote")
    if let text = json["direction"] {
      guard let value = text.string.flatMap({ Direction(rawValue: $0) }) else {
        throw InvalidField("direction", expected: "inbound or outbound")
      }
      direction = value
    } else {
      direction = nil
    }
    var payload: [String: JSONValue] = ["workload": .string(workload)]
    payload["peer_app_id"] = peerAppID.map { .string($0.rawValue) }
    payload["direction"] = direction.map { .string($0.rawValue) }
    payload["remote"] = remote.map { .string($0.description) }
    payload["local"] = try members.address("local").map { .string($0.description) }
    payload["flow"] = try members.printable("flow", 64).map(JSONValue.string)
    payload["protocol"] = try members.text("protocol", 1...16, "a short name, such as tcp or udp") { byte in
      isLowercaseOrDigit(byte) || "_-".utf8.contains(byte)
    }.map(JSONValue.string)
    payload["reason"] = try members.text("reason", 1...40, "1 to 40 of a-z 0-9 _") { byte in
      isLowercaseOrDigit(byte) || byte == UInt8(ascii: "_")
    }.map(JSONValue.string)
    payload["hook"] = try members.text("hook", 1...40, "1 to 40 of A-Z a-z 0-9 . _ / -") { byte in
      isAlphanumeric(byte) || "._/-".utf8.contains(byte)
    }.map(JSONValue.string)
    if let rule = json["rule"] {
      guard rule.integer != nil else { throw InvalidField("rule", expected: "a whole number") }
      payload["rule"] = rule
    }
    for name in Self.counters {
      guard let count = json[name] else { continue }
      guard let number = count.integer, number >= 0 else {
        throw InvalidField(name, expected: "a whole number from 0 to 2^53 - 1")
      }
      payload[name] = count
    }
    guard kind == .tokenSeen else {
      token = nil
      self.payload = payload
      return
    }
    guard let token = json["token_sha256"]?.string.flatMap({ TokenHash($0) }) else {
      throw InvalidField("token_sha256", expected: "the lowercase hexadecimal SHA-256 of the token that was seen")
    }
    guard direction != nil else {
      throw InvalidField("direction", expected: "inbound or outbound: which way the token went")
    }
    self.token = token
    payload["token_sha256"] = .string(token.text)
    payload["method"] = try members.printable("method", 8).map(JSONValue.string)
    // What follows the path may hold anything that an app considers secret.
    let path = try members.printable("path", 64)?.prefix { $0 != "?" && $0 != "#" }
    payload["path"] = path.flatMap { $0.isEmpty ? nil : .string(String($0)) }
    self.payload = payload
  }
}

/// Reads members that may be left out.
private struct Members {
  private let json: JSONValue

  init(_ json: JSONValue) { self.json = json }

  func text(
    _ name: String, _ length: ClosedRange<Int>, _ expected: String, _ isAllowed: (UInt8) -> Bool
  ) throws(InvalidField) -> String? {
    guard let value = json[name] else { return nil }
    guard let text = value.string, length.contains(text.utf8.count), text.utf8.allSatisfy(isAllowed) else {
      throw InvalidField(name, expected: expected)
    }
    return text
  }

  func printable(_ name: String, _ longest: Int) throws(InvalidField) -> String? {
    try text(name, 1...longest, "1 to \(longest) characters of printable ASCII") { (0x20...0x7E).contains($0) }
  }

  func app(_ name: String) throws(InvalidField) -> AppID? {
    guard let value = json[name] else { return nil }
    guard let id = value.string.flatMap({ AppID(validating: $0) }) else {
      throw InvalidField(name, expected: "an app's id")
    }
    return id
  }

  func address(_ name: String) throws(InvalidField) -> SocketAddress? {
    guard let value = json[name] else { return nil }
    guard let address = value.string.flatMap({ SocketAddress($0) }) else {
      throw InvalidField(name, expected: "an IP address and a port, such as 192.0.2.1:443 or [2001:db8::1]:443")
    }
    return address
  }
}

private func isLowercaseOrDigit(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
  isLowercaseOrDigit(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
}
