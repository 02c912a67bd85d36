import CASACore

/// An agent's card, as far as it says where a client will send requests and credentials.
public struct AgentCard: Sendable, Hashable {
  public let name: String
  /// All addresses of the card, in no order, but those that are only for people to look at: of the provider, the
  /// documentation and the icon.
  public let endpoints: Set<String>

  public static let limits = JSONLimits(maximumBytes: 256 << 10, maximumDepth: 32, maximumNodes: 20_000)

  /// - Throws: `ProtocolViolation`
  public init(parsing body: [UInt8]) throws(ProtocolViolation) {
    let json = try JSONValue(body: body, limits: Self.limits)
    guard let members = json.object, let name = members["name"]?.string, (1...256).contains(name.utf8.count) else {
      throw ProtocolViolation(.malformedRequest, "an agent card must be an object with a `name` of at most 256 bytes")
    }
    self.name = name
    var endpoints: Set<String> = []
    for (name, value) in members where !["provider", "documentationUrl", "iconUrl"].contains(name) {
      try Self.collect(value, named: name, into: &endpoints)
    }
    guard !endpoints.isEmpty else {
      throw ProtocolViolation(
        .malformedRequest, "an agent card must say where the agent is: `url` or `supportedInterfaces`")
    }
    self.endpoints = endpoints
  }

  /// Whatever a reader of either version, in camel or in snake case, could take for an address.
  private static func collect(
    _ value: JSONValue, named name: String, into endpoints: inout Set<String>
  ) throws(ProtocolViolation) {
    switch value {
    case .object(let members):
      for (name, value) in members { try collect(value, named: name, into: &endpoints) }
    case .array(let elements):
      for element in elements { try collect(element, named: name, into: &endpoints) }
    case .null, .bool, .number, .string:
      guard name.lowercased().hasSuffix("url"), value != .null else { return }
      guard let text = value.string else {
        throw ProtocolViolation(.malformedRequest, "an address of an agent card must be a text")
      }
      endpoints.insert(text)
    }
  }

  /// Refuses a card that leads its reader anywhere else.
  /// - Parameter origin: scheme, host and, unless it is the scheme's own, port (RFC 6454): `https://host:8443`. An
  ///   address must begin with it as it is written here.
  /// - Throws: `ProtocolViolation` when an address is not of `origin`.
  public func requireEndpoints(at origin: String) throws(ProtocolViolation) {
    for endpoint in endpoints {
      let isPlain = endpoint.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }
      guard isPlain, haveSameBytes(endpoint, origin) || endpoint.utf8.starts(with: (origin + "/").utf8) else {
        throw ProtocolViolation(.destinationNotAllowed, "the agent card names an address that is not the agent's")
      }
    }
  }
}
