public import CASACore

/// Knows systems and apps by name.
public protocol TraceDirectory: Sendable {
  func systemName(_ id: MASID) -> String?
  func appName(_ id: AppID) -> (name: String, kind: AppKind)?
  /// The apps of one system, or of all.
  func appsByName(of system: MASID?) -> [(id: AppID, name: String, kind: AppKind, system: MASID)]
  func systemNames() -> [(id: MASID, name: String)]
}
