import CASACore
import Foundation
import Testing

@testable import IntentChecks

@Suite("A model's endpoint")
struct ModelEndpointTests {
  private func invalidField(_ json: JSONValue, environment: [String: String] = [:]) -> String? {
    do throws(InvalidField) {
      _ = try ModelEndpoint(json: json, environment: environment)
      return nil
    } catch {
      return error.field
    }
  }

  @Test(
    "is reached by https, or by http on this machine",
    arguments: [
      "https://api.openai.com/v1", "https://host", "https://host:8443/a/b", "http://127.0.0.1:8080/v1",
      "http://localhost:11434/v1", "http://[::1]:8000/v1", "http://127.8.9.10/v1", "https://10.0.0.1/v1/",
    ])
  func urls(url: String) throws {
    let endpoint = try ModelEndpoint(url: url, model: "m")
    #expect(!endpoint.url.hasSuffix("/"))
  }

  @Test(
    "is not reached by anything that could lead elsewhere than it seems to, or in the clear",
    arguments: [
      "", "host", "ftp://host", "http://", "https://", "https:///v1", "https://:80/v1", "http://host/v1",
      "http://127.0.0.1.evil.example/v1", "http://localhost.evil.example/v1", "http://127.0.0.1@evil.example/v1",
      "http://evil.example#127.0.0.1", "http://evil.example?127.0.0.1", "http://127.1/v1", "http://0x7f000001/v1",
      "http://127.0.0.01/v1", "http://127.0.0.256/v1", "https://host/v1?key=x", "https://user:pw@host/v1",
      "https://host/v1#x", "https://ho st/v1", "https://host\\evil/v1", "https://host:/v1", "https://host:0/v1",
      "https://host:65536/v1", "https://host:8a/v1", "https://[::1/v1", "https://[::1]x/v1", "https://hööst/v1",
      "HTTPS://host/v1", "http://[::2]/v1", "https://host/%2e", "https://host\r\n/v1", "http://1270.0.0.1",
    ])
  func badURLs(url: String) {
    #expect(throws: InvalidField.self) { try ModelEndpoint(url: url, model: "m") }
  }

  @Test("is reached in the clear elsewhere only when the settings say so")
  func plainHTTP() throws {
    #expect(invalidField(["url": "http://vllm.internal/v1", "model": "m"]) == "url")
    #expect(invalidField(["url": "http://vllm.internal/v1", "model": "m", "allow_plain_http": false]) == "url")
    let json: JSONValue = ["url": "http://vllm.internal/v1", "model": "m", "allow_plain_http": true]
    #expect(try ModelEndpoint(json: json).url == "http://vllm.internal/v1")
  }

  @Test("is read from settings")
  func settings() throws {
    let json: JSONValue = [
      "url": "https://host/v1/", "model": "org/model-1", "api_key_env": "KEY", "timeout_ms": 700,
      "total_timeout_ms": 1500, "attempts": 3, "samples": 5, "borderline": [.number(0.1), .number(0.9)],
      "concurrency": 4, "dimension": 384,
    ]
    let endpoint = try ModelEndpoint(json: json, environment: ["KEY": "sk-secret"])
    #expect(endpoint.url == "https://host/v1" && endpoint.model == "org/model-1")
    #expect(endpoint.apiKey?.authorization == "Bearer sk-secret")
    #expect(endpoint.attemptTimeout == .milliseconds(700) && endpoint.totalTimeout == .milliseconds(1500))
    #expect(endpoint.attempts == 3 && endpoint.concurrency == 4 && endpoint.dimension == 384)
    #expect(endpoint.sampling.maximum == 5 && endpoint.sampling.borderline == 0.1...0.9)
    let plain = try ModelEndpoint(json: ["url": "https://host/v1", "model": "m"])
    #expect(plain.apiKey == nil && plain.sampling.borderline == 0.25...0.75 && plain.sampling.maximum == 3)
  }

  @Test(
    "says which setting is wrong",
    arguments: [
      ("timeout_ms", 49), ("timeout_ms", 60_001), ("timeout_ms", "1"), ("timeout_ms", .number(100.5)),
      ("total_timeout_ms", 100), ("attempts", 0), ("attempts", 6), ("samples", 2), ("samples", 0), ("samples", 11),
      ("borderline", [.number(0.9), .number(0.1)]), ("borderline", [0]), ("borderline", [0, 2]), ("borderline", "x"),
      ("concurrency", 0), ("dimension", 0), ("dimension", 100_000), ("api_key", "sk-secret"), ("timeout", 100),
      ("api_key_env", "MISSING"), ("api_key_env", "EMPTY"), ("api_key_env", "BROKEN"), ("api_key_env", 7),
      ("api_key_file", "/nowhere/key"), ("allow_plain_http", "yes"), ("url", .null), ("model", .null), ("model", ""),
      ("model", "a b"), ("url", 7),
    ] as [(String, JSONValue)])
  func wrongSettings(name: String, value: JSONValue) throws {
    var members: [String: JSONValue] = ["url": "https://host/v1", "model": "m"]
    members[name] = value
    let environment = ["EMPTY": "", "BROKEN": "sk-1\r\nx-admin: 1"]
    #expect(invalidField(.object(members), environment: environment) == name)
  }

  @Test("takes its key from a file, with white space around it")
  func keyFile() throws {
    let path = NSTemporaryDirectory() + "casa-key-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("sk-secret\n".utf8).write(to: URL(filePath: path))
    let json: JSONValue = ["url": "https://host/v1", "model": "m", "api_key_file": .string(path)]
    #expect(try ModelEndpoint(json: json).apiKey?.authorization == "Bearer sk-secret")
    #expect(
      invalidField(
        ["url": "https://host/v1", "model": "m", "api_key_file": .string(path), "api_key_env": "KEY"],
        environment: ["KEY": "sk"]) == "api_key_env")
    try Data("two\nlines".utf8).write(to: URL(filePath: path))
    #expect(invalidField(json) == "api_key_file")
  }

  @Test("shows its key to nobody")
  func hiddenKey() throws {
    let endpoint = try ModelEndpoint(url: "https://host/v1", model: "m", apiKey: APIKey("sk-secret"))
    var dumped = ""
    dump(endpoint, to: &dumped)
    for text in ["\(endpoint)", String(reflecting: endpoint), "\(endpoint.apiKey as Any)", dumped] {
      #expect(!text.contains("sk-secret"))
    }
  }
}
