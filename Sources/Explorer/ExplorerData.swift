public import CASACore
public import Traces

/// What the Explorer shows, as the JSON that the routes under `/trace` answer. Each call reads only what `access` may
/// read; what it may not read is as if it weren't there.
public protocol ExplorerData: Sendable {
  /// All systems: `{"systems": […]}`.
  func systems(_ access: ReadAccess) async throws -> JSONValue
  /// One system with its settings, apps, tools and policy; nil when there is none.
  func system(_ id: MASID, _ access: ReadAccess) async throws -> JSONValue?
  /// Sessions, newest first, by the filters of `GET /trace/sessions`.
  /// - Throws: `InvalidField` for a filter that can't be read.
  func sessions(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue
  /// One session with its first events; nil when there is none.
  /// - Parameter isWhole: false for its line and its apps only.
  func session(_ id: UserInputID, isWhole: Bool, _ access: ReadAccess) async throws -> JSONValue?
  /// A session's events after a sequence number, by `session`, `after` and `limit` as in `GET /trace/events`.
  /// - Throws: `InvalidField`
  func events(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue
  /// The place of the newest event there is; 0 when there is none.
  func lastEvent() async throws -> Int64
  /// Alerts, newest first.
  /// - Throws: `InvalidField`
  func alerts(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue
  /// Counts over a time range.
  /// - Throws: `InvalidField`
  func statistics(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue
  /// Who called whom in a system.
  /// - Throws: `InvalidField`
  func graph(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue
  /// What a text or a hash is found in.
  /// - Throws: `InvalidField`
  func search(_ text: String, _ access: ReadAccess) async throws -> JSONValue
}
