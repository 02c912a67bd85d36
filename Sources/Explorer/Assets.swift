internal import Crypto

/// The style sheet and the scripts. Each is served under a name with its hash, so that a browser may keep it for ever.
struct Assets: Sendable {
  struct Asset: Sendable {
    let bytes: [UInt8]
    let contentType: String
    let entityTag: String
  }

  /// By the name it is served under.
  private(set) var files: [String: Asset] = [:]
  /// The path of each, by its name in the sources.
  private(set) var paths: [String: String] = [:]

  init() {
    let script = "text/javascript; charset=utf-8"
    add("explorer.css", PackageResources.explorer_css, "text/css; charset=utf-8")
    add("icon.svg", PackageResources.icon_svg, "image/svg+xml")
    add("theme.js", PackageResources.theme_js, script)
    add("text.js", PackageResources.text_js, script)
    // These import text.js, by the name it is served under.
    for (name, bytes) in [
      ("explorer.js", PackageResources.explorer_js), ("graph.js", PackageResources.graph_js),
      ("live.js", PackageResources.live_js), ("session.js", PackageResources.session_js),
    ] {
      let source = String(decoding: bytes, as: UTF8.self)
      let served = source.split(separator: "\"./text.js\"", omittingEmptySubsequences: false)
        .joined(separator: "\"\(paths["text.js"] ?? "")\"")
      add(name, Array(served.utf8), script)
    }
  }

  private mutating func add(_ name: String, _ bytes: [UInt8], _ contentType: String) {
    let digest = SHA256.hash(data: bytes).prefix(8).map { byte in
      String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }.joined()
    let dot = name.lastIndex(of: ".") ?? name.endIndex
    let served = "\(name[..<dot])-\(digest)\(name[dot...])"
    files[served] = Asset(bytes: bytes, contentType: contentType, entityTag: "\"\(digest)\"")
    paths[name] = "/explorer/assets/" + served
  }
}
