import AgentProtocols
import CASACore

/// A compact JWS in three quarters of its size, for those that are kept by the hundred thousand.
struct PackedToken: Sendable {
  /// The first part as it came; the same text for all tokens of one signing key.
  private let header: String
  private let parts: [UInt8]
  private let payloadCount: Int

  /// - Parameter header: a copy of the first part that may be shared.
  init?(_ compact: String, sharing headers: inout [String: String]) {
    let parts = compact.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let payload = Base64URL.decode(Array(parts[1])[...]),
      let signature = Base64URL.decode(Array(parts[2])[...])
    else { return nil }
    let header = String(Substring(parts[0]))
    if headers.count >= 64 { headers.removeAll() }
    self.header = headers[header] ?? header
    headers[header] = self.header
    payloadCount = payload.count
    self.parts = payload + signature
    // What does not come out as it went in is another token.
    guard haveSameBytes(self.compact, compact) else { return nil }
  }

  var compact: String {
    header + "." + Base64URL.encode(parts[..<payloadCount]) + "." + Base64URL.encode(parts[payloadCount...])
  }
}
