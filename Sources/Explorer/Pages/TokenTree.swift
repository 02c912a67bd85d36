internal import CASACore

/// A session's tokens as they came from one another.
struct TokenTree {
  /// Deeper descendants are shown beside their parents.
  private static let maximumDepth = 12

  let tokens: [JSONValue]
  let apps: JSONValue
  let now: Timestamp

  /// What the documentation calls a token of this scope.
  static func label(_ scope: String) -> String {
    switch scope {
    case "user-input": "T1"
    case "llm-access": "T2"
    case "call-tools": "T3"
    default: "Token"
    }
  }

  /// The roots with their children within.
  var views: [View] {
    var children: [String: [JSONValue]] = [:]
    let known = Set(tokens.map { $0.text("sha256") })
    var roots: [JSONValue] = []
    for token in tokens {
      if let parent = token["parent_sha256"]?.string, known.contains(parent), parent != token.text("sha256") {
        children[parent, default: []].append(token)
      } else {
        roots.append(token)
      }
    }
    var shown: Set<String> = []
    return roots.flatMap { views(of: $0, children, depth: 1, &shown) }
  }

  private func views(
    of token: JSONValue, _ children: [String: [JSONValue]], depth: Int, _ shown: inout Set<String>
  ) -> [View] {
    let hash = token.text("sha256")
    guard shown.insert(hash).inserted else { return [] }
    let nested = (children[hash] ?? []).flatMap { views(of: $0, children, depth: depth + 1, &shown) }
    var view = row(token)
    let inside = depth < Self.maximumDepth ? nested : []
    view["children"] = inside
    view["hasChildren"] = !inside.isEmpty
    return [view] + (depth < Self.maximumDepth ? [] : nested)
  }

  private func name(_ id: String) -> String {
    for prefix in ["urn:casa:app:", "urn:casa:mas:"] where id.hasPrefix(prefix) {
      let bare = String(id.dropFirst(prefix.count))
      if prefix == "urn:casa:mas:" { return "the system" }
      return apps[bare]?["name"]?.string ?? bare
    }
    return apps[id]?["name"]?.string ?? id
  }

  private func row(_ token: JSONValue) -> View {
    let hash = token.text("sha256")
    let scope = token.text("scope")
    let (state, tone): (String, String) =
      if token["revoked_at"]?.string != nil {
        ("revoked", "refused")
      } else if token["spent_at"]?.string != nil {
        ("used", "noted")
      } else if let expiry = Timestamp(rfc3339: token.text("expires_at")), expiry <= now {
        ("expired", "noted")
      } else {
        ("live", "allowed")
      }
    var view: View = [
      "hash": Rows.hash(hash), "label": Self.label(scope), "scope": scope, "state": state, "tone": tone,
      "holder": name(token.text("app_id")), "audience": token.strings("audience").map(name).joined(separator: ", "),
      "actors": token.strings("actors").map(name).joined(separator: " ← "),
      "hasAudience": !token.strings("audience").isEmpty,
      "hasActors": !token.strings("actors").isEmpty, "sightings": token.count("sightings"),
      "isSighted": token.count("sightings") > 0,
    ]
    view["tool"] = token["tool"]?.string
    view["hasTool"] = token["tool"]?.string != nil
    view["issued"] = Moment.view(token.text("issued_at"))
    view["expires"] = Moment.view(token.text("expires_at"))
    view["spent"] = token["spent_at"]?.string.flatMap(Moment.view)
    view["revoked"] = token["revoked_at"]?.string.flatMap(Moment.view)
    return view
  }
}
