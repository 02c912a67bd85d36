internal import HTTPTypes

/// What one address shows: a template, the values it reads, and the scripts it uses beside `explorer.js`.
struct Page {
  static let sections: [(label: String, href: String, key: String)] = [
    ("Dashboard", "/explorer", "d"), ("Systems", "/explorer/systems", "m"), ("Sessions", "/explorer/sessions", "s"),
    ("Live", "/explorer/live", "l"), ("Alerts", "/explorer/alerts", "a"),
  ]

  var title: String
  var template: String
  /// Which of `sections` it belongs to.
  var section = ""
  var view: View
  var scripts: [String] = []

  static func problem(_ status: HTTPResponse.Status, _ detail: String) -> Page {
    Page(
      title: status.reasonPhrase, template: "problem",
      view: ["status": status.code, "reason": status.reasonPhrase, "detail": detail])
  }

  static func signIn(next: String, problem: String?) -> Page {
    var view: View = ["next": next]
    if let problem { view["problem"] = problem }
    return Page(title: "Sign in", template: "sign-in", view: view)
  }
}

/// Addresses within the Explorer.
enum Link {
  /// Percent-encodes all but the characters that RFC 3986 leaves unreserved.
  static func encode(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var output: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        output.append(byte)
      default: output += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// A path with those parameters that have a value, in their order.
  static func to(_ path: String, _ query: [(String, String?)] = []) -> String {
    let pairs = query.compactMap { name, value in
      value.flatMap { $0.isEmpty ? nil : encode(name) + "=" + encode($0) }
    }
    return pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&")
  }

  static func system(_ id: String) -> String { "/explorer/systems/" + encode(id) }
  static func session(_ id: String) -> String { "/explorer/sessions/" + encode(id) }
}
