public import CASACore
import Crypto

/// Lowercase hexadecimal SHA-256 of the arguments' canonical form (RFC 8785): what binds a token to a call.
public func argumentsSHA256(_ arguments: [String: JSONValue]) -> String {
  lowercaseHex(SHA256.hash(data: JSONValue.object(arguments).canonicalBytes))
}

extension ToolCall {
  /// See `argumentsSHA256(_:)`.
  public var argumentsSHA256: String { AgentProtocols.argumentsSHA256(arguments) }
}
