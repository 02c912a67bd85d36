internal import Mustache

/// What a template reads its values from.
typealias View = [String: any Sendable]

/// The templates that are compiled in. Every value of theirs is escaped by `VisibleText`.
struct Templates: Sendable {
  private let library: MustacheLibrary

  init() throws {
    MustacheContentTypes.register(VisibleText(), named: VisibleText.name)
    var library = MustacheLibrary()
    for (name, bytes) in Self.sources {
      let text = String(decoding: bytes, as: UTF8.self)
      try library.register("{{% CONTENT_TYPE:\(VisibleText.name)}}" + text, named: name)
    }
    self.library = library
  }

  func render(_ view: View, _ name: String) -> String { library.render(view, withTemplate: name) ?? "" }

  static let sources: [(name: String, bytes: [UInt8])] = [
    ("alert-rows", PackageResources.alert_rows_mustache),
    ("alerts", PackageResources.alerts_mustache),
    ("dashboard", PackageResources.dashboard_mustache),
    ("event", PackageResources.event_mustache),
    ("graph", PackageResources.graph_mustache),
    ("layout", PackageResources.layout_mustache),
    ("live", PackageResources.live_mustache),
    ("problem", PackageResources.problem_mustache),
    ("search", PackageResources.search_mustache),
    ("session", PackageResources.session_mustache),
    ("session-rows", PackageResources.session_rows_mustache),
    ("sessions", PackageResources.sessions_mustache),
    ("sign-in", PackageResources.sign_in_mustache),
    ("system", PackageResources.system_mustache),
    ("systems", PackageResources.systems_mustache),
    ("timeline", PackageResources.timeline_mustache),
    ("token", PackageResources.token_mustache),
  ]
}
