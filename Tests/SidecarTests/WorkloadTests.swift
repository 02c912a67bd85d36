import CASACore
import Foundation
import Sidecar
import Testing

/// A workload's file in full: an agent with ingress, one app and the LLM.
let fullWorkload = """
  runtime: http://127.0.0.1:8080
  client_id: app_1
  client_secret_file: secret
  authorization: unix:/run/casa/authz.sock
  sidecar_key_file: /run/casa/key
  prompt_json_path: $.prompt
  ingress:
    listen: 127.0.0.1:9000
    app: http://127.0.0.1:9001/a2a
  egress:
    - listen: 127.0.0.1:9100
      destination: weather
      url: http://127.0.0.1:9200/mcp
    - listen: "[::1]:9101"
      llm: true
      url: https://llm.example/v1
      api_key_file: llm-key
  """

@Suite("A workload's file")
struct WorkloadTests {
  private func error(_ yaml: String) -> String? {
    do {
      _ = try Workload(yaml: yaml, relativeTo: "/etc/casa")
      return nil
    } catch {
      return error.description
    }
  }

  /// The error after one line of the full file was replaced.
  private func error(_ line: String, with replacement: String) throws -> String? {
    try #require(fullWorkload.contains(line))
    return error(fullWorkload.replacing(line, with: replacement, maxReplacements: 1))
  }

  @Test("is read whole, with paths relative to it")
  func reads() throws {
    let workload = try Workload(yaml: fullWorkload, relativeTo: "/etc/casa")
    #expect(workload.runtime == HTTPEndpoint("http://127.0.0.1:8080"))
    #expect(workload.clientID == AppID("app_1"))
    #expect(workload.clientSecretFile == "/etc/casa/secret")
    #expect(workload.sidecarKeyFile == "/run/casa/key")
    #expect(workload.authorization == .unix(path: "/run/casa/authz.sock"))
    #expect(workload.promptJSONPath != nil)
    #expect(workload.ingress?.listen == .tcp(host: "127.0.0.1", port: 9000))
    #expect(workload.ingress?.app == HTTPEndpoint("http://127.0.0.1:9001/a2a"))
    #expect(
      workload.egress.map(\.destination) == [
        .app(try #require(Name("weather"))), .llm(apiKeyFile: "/etc/casa/llm-key"),
      ])
    #expect(workload.adapter == .module)
    #expect(workload.egress.map(\.listen?.description) == ["127.0.0.1:9100", "[::1]:9101"])
  }

  @Test("needs neither ingress nor egress")
  func smallest() throws {
    let yaml = fullWorkload.split(separator: "\n").prefix(5).joined(separator: "\n")
    let workload = try Workload(yaml: yaml, relativeTo: "/")
    #expect(workload.ingress == nil)
    #expect(workload.egress.isEmpty)
  }

  @Test("is refused without a key that is needed, which the error names")
  func missing() throws {
    for line in fullWorkload.split(separator: "\n").prefix(5) {
      let key = try #require(line.split(separator: ":").first)
      #expect(try error(line + "\n", with: "")?.contains("`\(key)` is missing") == true)
    }
    #expect(try error("  listen: 127.0.0.1:9000\n", with: "")?.contains("line 8: `listen` is missing") == true)
    #expect(try error("  app: http://127.0.0.1:9001/a2a\n", with: "")?.contains("`app` is missing") == true)
    #expect(try error("    url: http://127.0.0.1:9200/mcp\n", with: "")?.contains("line 11: `url` is missing") == true)
  }

  @Test(
    "is refused for a value that is wrong, with its line and key",
    arguments: [
      ("runtime: http://127.0.0.1:8080", "runtime: 127.0.0.1:8080", "line 1: `runtime`"),
      ("runtime: http://127.0.0.1:8080", "runtime: [http://a]", "line 1: `runtime`"),
      ("client_id: app_1", "client_id: app 1", "line 2: `client_id`"),
      ("client_id: app_1", "client_id:", "line 2: `client_id`"),
      ("client_secret_file: secret", "client_secret_file: \"\"", "line 3: `client_secret_file`"),
      ("client_secret_file: secret", "client_secret_file: {a: b}", "line 3: `client_secret_file`"),
      ("authorization: unix:/run/casa/authz.sock", "authorization: unix:relative", "line 4: `authorization`"),
      ("prompt_json_path: $.prompt", "prompt_json_path: prompt", "line 6: `prompt_json_path`"),
      ("listen: 127.0.0.1:9000", "listen: localhost:9000", "line 8: `listen`"),
      ("listen: 127.0.0.1:9000", "listen: unix:/x", "line 8: `listen`"),
      ("app: http://127.0.0.1:9001/a2a", "app: http://127.0.0.1:9001/a2a?x", "line 9: `app`"),
      ("destination: weather", "destination: Weather", "line 12: `destination`"),
      ("destination: weather", "destination: llm", "line 12: `destination`"),
      ("llm: true", "llm: false", "line 15: `llm`"), ("llm: true", "llm: \"yes\"", "line 15: `llm`"),
      ("url: http://127.0.0.1:9200/mcp", "url: 127.0.0.1:9200", "line 13: `url`"),
    ])
  func wrong(line: String, replacement: String, expected: String) throws {
    let message = try error(line, with: replacement)
    #expect(message?.hasPrefix(expected) == true, "\(message ?? "no error")")
  }

  @Test("is refused with what stands in a value's place, cut short, and without a password")
  func found() throws {
    let address = "listen: 127.0.0.1:9000"
    #expect(try error(address, with: "listen: localhost:9000")?.hasSuffix("; got `localhost:9000`") == true)
    let long = String(repeating: "x", count: 81)
    #expect(try error(address, with: "listen: " + long)?.hasSuffix("; got `\(long.dropLast())…`") == true)
    #expect(try error(address, with: "listen: [a]")?.hasSuffix("must be an IP address and a port") == true)
    let url = "runtime: http://127.0.0.1:8080"
    #expect(try error(url, with: "runtime: http://me:hush@a")?.contains("hush") == false)
  }

  @Test("is refused for a key that is not known, with its line")
  func unknownKeys() throws {
    #expect(
      try error("client_id: app_1", with: "client_id: app_1\nfailure_mode_allow: true")?.contains("line 3: ") == true)
    #expect(try error("client_id: app_1", with: "Client_id: app_1")?.contains("`Client_id`") == true)
    #expect(try error("  app: ", with: "  allow_all: true\n  app: ")?.contains("`allow_all`") == true)
    #expect(try error("    llm: true", with: "    llm: true\n    insecure: true")?.contains("line 16: ") == true)
  }

  @Test("is refused for a key that is given twice, which the error names")
  func duplicates() throws {
    #expect(try error("client_id: app_1", with: "client_id: app_1\nclient_id: app_2")?.contains("client_id") == true)
    #expect(try error("    llm: true", with: "    llm: true\n    llm: true")?.contains("llm") == true)
    #expect(
      try error("client_id: app_1", with: "client_id: app_1\n\"client_id\": app_2")?.contains("client_id") == true)
  }

  @Test("is refused for an egress that is neither an app nor the LLM, or both")
  func destinations() throws {
    #expect(try error("    destination: weather\n", with: "")?.contains("line 11") == true)
    #expect(try error("    llm: true", with: "    llm: true\n    destination: mail") != nil)
    #expect(try error("    destination: weather", with: "    destination: weather\n    api_key_file: x") != nil)
  }

  @Test("names other hosts of a destination, by which requests and the destination itself may speak of it")
  func aliases() throws {
    let url = "    url: http://127.0.0.1:9200/mcp"
    let yaml = fullWorkload.replacing(url, with: url + "\n    aliases: [weather, weather.ns.svc]")
    let workload = try Workload(yaml: yaml, relativeTo: "/")
    #expect(workload.egress.map(\.aliases) == [["weather", "weather.ns.svc"], []])
    #expect(
      workload.egress[0].origins == ["http://127.0.0.1:9200", "http://weather:9200", "http://weather.ns.svc:9200"])
    #expect(
      workload.listenersByAuthority == [
        "127.0.0.1:9200": .egress(0), "weather:9200": .egress(0), "weather.ns.svc:9200": .egress(0),
        "llm.example": .egress(1), "llm.example:80": .egress(1), "llm.example:443": .egress(1),
      ])
  }

  @Test("takes what two destinations have in common for neither's")
  func sharedAliases() throws {
    let url = "    url: http://127.0.0.1:9200/mcp"
    let yaml = fullWorkload.replacing(url, with: "    url: http://weather/mcp\n    aliases: [llm.example]")
    let listeners = try Workload(yaml: yaml, relativeTo: "/").listenersByAuthority
    #expect(listeners["llm.example"] == nil && listeners["llm.example:443"] == .egress(1))
    #expect(listeners["weather"] == .egress(0))
  }

  @Test(
    "is refused for an alias that is no host in lower case",
    arguments: [
      "http://weather", "weather:80", "weather/mcp", "Weather", "*.weather", "weather.", ".weather", "", "[::1]",
      "we ather",
      "wetter.ä",
    ])
  func badAliases(alias: String) throws {
    let url = "    url: http://127.0.0.1:9200/mcp"
    #expect(try error(url, with: url + "\n    aliases: [\"\(alias)\"]")?.contains("line 14: `aliases`") == true)
  }

  @Test("is refused for an alias that is given twice, and for aliases that are no list")
  func repeatedAliases() throws {
    let url = "    url: http://127.0.0.1:9200/mcp"
    #expect(try error(url, with: url + "\n    aliases: [a, a]")?.contains("each once; got a") == true)
    #expect(try error(url, with: url + "\n    aliases: a")?.contains("`aliases` must be a list") == true)
  }

  @Test("is refused when two listeners have one address")
  func sameAddress() throws {
    #expect(try error("listen: 127.0.0.1:9100", with: "listen: 127.0.0.1:9000")?.contains("127.0.0.1:9000") == true)
  }

  @Test(
    "is refused when it is no mapping", arguments: ["", "# nothing", "[]", "text", "a: [", "\t", "- a", "a: &x [*x]"])
  func notMappings(yaml: String) { #expect(error(yaml) != nil) }

  @Test("is refused when it is too large, not UTF-8 or not there, with its path")
  func files() throws {
    let path = NSTemporaryDirectory() + "casa-test-" + UUID().uuidString + ".yaml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    func loadError() -> String? {
      do {
        _ = try Workload.load(path: path)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(loadError()?.hasPrefix(path) == true)
    for data in [Data([0xFF, 0xFE, 0]), Data(repeating: 0x20, count: 65_537), Data("client_id: 1".utf8)] {
      try data.write(to: URL(fileURLWithPath: path))
      #expect(loadError()?.hasPrefix(path) == true)
    }
    try Data(fullWorkload.utf8).write(to: URL(fileURLWithPath: path))
    #expect(loadError() == nil)
  }
}

@Suite("A file that holds a secret")
struct SecretFileTests {
  private func read(_ text: String, minimum: Int = 8) throws -> String {
    let path = NSTemporaryDirectory() + "casa-test-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    return try SecretFile.read(path, what: "a secret", minimum: minimum)
  }

  @Test("holds one line of printable characters")
  func reads() throws {
    #expect(try read("12345678") == "12345678")
    #expect(try read(" 12345678\n") == "12345678")
  }

  @Test(
    "is refused otherwise, and never quoted",
    arguments: ["", "\n", "hushhus", "hush hush", "hushhush\nhushhush", "hushhushé", "hush\u{0}hush"])
  func refuses(text: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try read(text) }
    #expect(error?.description.contains("hush") == false)
  }

  @Test("is refused with what it must be, and how long it is")
  func explains() throws {
    let error = #expect(throws: ConfigurationError.self) { try read("short") }
    let expected =
      " must hold a secret on one line: at least 8 printable ASCII characters without spaces; it has 5 bytes"
    #expect(error?.description.hasSuffix(expected) == true)
  }

  @Test("holds a sidecar's key of at least 32 characters")
  func keys() throws {
    #expect(throws: ConfigurationError.self) { try read(String(repeating: "k", count: 31), minimum: 32) }
    #expect(try read(String(repeating: "k", count: 32), minimum: 32).utf8.count == 32)
    #expect(throws: ConfigurationError.self) { try SidecarKey.load(path: "/nowhere/key") }
  }
}
