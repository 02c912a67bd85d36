import CASACore

/// A revision of the MCP specification that clients and servers may speak.
public enum MCPRevision: String, Sendable, Hashable, CaseIterable {
  case november2024 = "2024-11-05"
  case march2025 = "2025-03-26"
  case june2025 = "2025-06-18"
  case november2025 = "2025-11-25"
  case july2026 = "2026-07-28"

  /// Where a request of revision 2026-07-28 names its revision in `_meta`.
  static let metaKey = "io.modelcontextprotocol/protocolVersion"

  /// nil for any text that is not, byte for byte, a known revision.
  init?(_ text: String) {
    guard let known = Self.allCases.first(where: { haveSameBytes($0.rawValue, text) }) else { return nil }
    self = known
  }
}
