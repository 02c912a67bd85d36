import AgentProtocols
import CASACore
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("Client authentication by secret")
struct SecretAuthenticationTests {
  private func authenticate(_ system: TestSystem, _ id: AppID, _ secret: String) async -> OAuthError? {
    await refusal { _ = try await system.server.authenticate(.secret(client: id, secret: secret)) }
  }

  private func register(_ system: TestSystem, _ name: String) async throws -> (App, ClientSecret) {
    let (app, secret) = try await system.server.registry.createApp(
      in: system.mas.id, name: try #require(Name(name)), kind: .agent, settings: .init(), jwks: nil)
    return (app, try #require(secret))
  }

  @Test("takes the one secret of the client, also after a restart")
  func secrets() async throws {
    let system = try await TestSystem()
    let (app, secret) = try await register(system, "one")
    let (other, otherSecret) = try await register(system, "two")
    for system in [system, try await system.restarted()] {
      #expect(await authenticate(system, app.id, secret.text) == nil)
      let client = try await system.server.authenticate(.secret(client: app.id, secret: secret.text))
      #expect(client.app.id == app.id)
      for text in [
        "", " ", otherSecret.text, secret.text + "x", String(secret.text.dropLast()), secret.text.lowercased(),
      ] {
        #expect(await authenticate(system, app.id, text)?.code == .invalidClient)
      }
      #expect(await authenticate(system, other.id, secret.text)?.code == .invalidClient)
    }
  }

  @Test("answers the same for a client that is unknown, has no secret, or has another")
  func noOracle() async throws {
    let system = try await TestSystem()
    let (app, _) = try await register(system, "one")
    let keyed = try await TestSystem.app(
      "keyed", .agent, in: system.mas.id, system.server.registry,
      jwks: ["keys": [SigningKey.generate(.es256, at: TestClock.start).jwk]])
    let answers = [
      await authenticate(system, app.id, "wrong"), await authenticate(system, AppID("app_none"), "wrong"),
      await authenticate(system, AppID("app_none"), ""), await authenticate(system, keyed.id, ""),
    ]
    for answer in answers {
      #expect(answer?.code == .invalidClient)
      #expect(answer?.description == answers[0]?.description)
      #expect(answer?.reason == nil)
    }
  }

  @Test("refuses the secret that was replaced")
  func rotation() async throws {
    let system = try await TestSystem()
    let (app, before) = try await register(system, "one")
    let (_, after) = try await system.server.registry.rotateSecret(of: app.id)
    #expect(await authenticate(system, app.id, before.text)?.code == .invalidClient)
    #expect(await authenticate(system, app.id, after.text) == nil)
  }

  @Test("refuses the secret of an app that was deleted")
  func deletion() async throws {
    let system = try await TestSystem()
    let (app, secret) = try await register(system, "one")
    try await system.server.registry.deleteApp(app.id)
    #expect(await authenticate(system, app.id, secret.text)?.code == .invalidClient)
  }

  @Test("stores no secret, and shows none with the app")
  func hashed() async throws {
    let system = try await TestSystem()
    let (app, secret) = try await register(system, "one")
    #expect(secret.text.utf8.count == 3 + 43)
    #expect(app.json["secret"] == nil)
    #expect(!app.json.canonicalText.contains(secret.text))
    let rows = try await system.storage.query(Statement("SELECT secret_salt, secret_hash FROM apps"))
    #expect(Set(try rows.map { try $0.text("secret_salt") }).count == rows.count)
    #expect(try rows.allSatisfy { try $0.text("secret_hash") != secret.text })
    let events = try await system.events()
    #expect(events.allSatisfy { !$0.canonicalText.contains(secret.text) })
  }

  @Test("compares texts to their end")
  func comparison() {
    #expect(constantTimeEqual("abc", "abc"))
    #expect(constantTimeEqual("", ""))
    for (a, b) in [("abc", "abd"), ("abc", "xbc"), ("abc", "ab"), ("", "a"), ("K", "\u{212A}"), ("é", "e\u{301}")] {
      #expect(!constantTimeEqual(a, b))
    }
  }
}

@Suite("Client authentication by private_key_jwt")
struct AssertionAuthenticationTests {
  /// An app that registered a key, and what its assertions say unless a test changes it.
  private struct Client {
    let system: TestSystem
    let app: App
    let key: SigningKey

    init(_ algorithm: SigningAlgorithm = .es256) async throws {
      system = try await TestSystem()
      key = SigningKey.generate(algorithm, at: TestClock.start)
      app = try await TestSystem.app(
        "keyed", .agent, in: system.mas.id, system.server.registry, jwks: ["keys": [key.jwk]])
    }

    var now: Int64 { system.clock.now.seconds }

    func assertion(
      _ changes: [String: JSONValue?] = [:], header: [String: JSONValue?] = [:], key other: SigningKey? = nil
    ) throws -> String {
      let key = other ?? key
      var claims: [String: JSONValue] = [
        "iss": .string(app.id.rawValue), "sub": .string(app.id.rawValue), "aud": .string(TestSystem.issuer),
        "exp": .number(Double(now + 60)), "jti": .string(TokenID.random(prefix: "a").rawValue),
      ]
      for (name, value) in changes { claims[name] = value }
      var head: [String: JSONValue] = ["alg": .string(key.algorithm.rawValue), "kid": .string(key.id.rawValue)]
      for (name, value) in header { head[name] = value }
      let input =
        Base64URL.encode(JSONValue.object(head).canonicalBytes) + "."
        + Base64URL.encode(JSONValue.object(claims).canonicalBytes)
      return input + "." + Base64URL.encode(try key.signature(of: Array(input.utf8)))
    }

    func authenticate(_ assertion: String, claimed: AppID? = nil) async -> OAuthError? {
      await refusal { _ = try await system.server.authenticate(.assertion(assertion, client: claimed)) }
    }
  }

  @Test("takes an assertion that the client's key signed", arguments: SigningAlgorithm.allCases)
  func accepts(algorithm: SigningAlgorithm) async throws {
    let client = try await Client(algorithm)
    for audience in [
      TestSystem.issuer, TestSystem.issuer + "/oauth/token", TestSystem.issuer + "/oauth/token/exchange",
    ] {
      #expect(await client.authenticate(try client.assertion(["aud": .string(audience)])) == nil)
    }
    #expect(await client.authenticate(try client.assertion(["aud": ["https://x", .string(TestSystem.issuer)]])) == nil)
    #expect(await client.authenticate(try client.assertion(), claimed: client.app.id) == nil)
    // The only key needs no name.
    #expect(await client.authenticate(try client.assertion(header: ["kid": .some(nil)])) == nil)
  }

  @Test("takes an assertion once, also over a restart and after a pruning")
  func replay() async throws {
    let client = try await Client()
    let assertion = try client.assertion(["exp": .number(Double(client.now + 300))])
    #expect(await client.authenticate(assertion) == nil)
    #expect(await client.authenticate(assertion)?.code == .invalidClient)
    try await client.system.server.prune()
    #expect(await client.authenticate(assertion)?.code == .invalidClient)
    let after = try await client.system.restarted()
    let again = await refusal { _ = try await after.server.authenticate(.assertion(assertion, client: nil)) }
    #expect(again?.code == .invalidClient)
    // To the end of its life, with the clocks' skew.
    after.clock.advance(by: .seconds(329))
    try await after.server.prune()
    let late = await refusal { _ = try await after.server.authenticate(.assertion(assertion, client: nil)) }
    #expect(late?.code == .invalidClient)
  }

  @Test("takes one of many uses of an assertion at the same time")
  func concurrentReplay() async throws {
    let client = try await Client()
    let assertion = try client.assertion()
    let accepted = await withTaskGroup(of: Bool.self, returning: Int.self) { group in
      for _ in 0..<50 { group.addTask { await client.authenticate(assertion) == nil } }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(accepted == 1)
  }

  @Test("keeps the ids of one client's assertions from another's")
  func idsOfOthers() async throws {
    let client = try await Client()
    let key = SigningKey.generate(.es256, at: TestClock.start)
    let other = try await TestSystem.app(
      "second", .agent, in: client.system.mas.id, client.system.server.registry, jwks: ["keys": [key.jwk]])
    #expect(await client.authenticate(try client.assertion(["jti": "same"])) == nil)
    let id = JSONValue.string(other.id.rawValue)
    let assertion = try client.assertion(["jti": "same", "iss": id, "sub": id], key: key)
    #expect(await client.authenticate(assertion) == nil)
  }

  @Test(
    "refuses an assertion for what it claims",
    arguments: [
      ("aud", "https://casa.example/"), ("aud", "https://evil.example"), ("aud", []), ("aud", nil), ("aud", 1),
      ("iss", "app_none"),
      ("iss", nil), ("sub", "app_none"), ("sub", nil), ("sub", 1), ("jti", nil), ("jti", ""), ("jti", 1),
      ("jti", .string(String(repeating: "j", count: 257))), ("exp", nil), ("exp", "9999999999"),
      ("exp", .number(9_999_999_999.5)),
    ] as [(String, JSONValue?)])
  func claims(name: String, value: JSONValue?) async throws {
    let client = try await Client()
    #expect(await client.authenticate(try client.assertion([name: value]))?.code == .invalidClient)
  }

  @Test("refuses an assertion that is over, too long ahead or not begun, each with 30 s for the clocks")
  func times() async throws {
    let client = try await Client()
    func refused(_ name: String, _ offset: Int64) async throws -> Bool {
      await client.authenticate(try client.assertion([name: .number(Double(client.now + offset))])) != nil
    }
    #expect(try await refused("exp", 330) == false)
    #expect(try await refused("exp", 331))
    #expect(try await refused("exp", -29) == false)
    #expect(try await refused("exp", -30))
    for name in ["nbf", "iat"] {
      #expect(try await refused(name, 30) == false)
      #expect(try await refused(name, 31))
    }
  }

  @Test("refuses an assertion for how it is signed")
  func signatures() async throws {
    let client = try await Client()
    let stranger = SigningKey.generate(.es256, at: TestClock.start)
    let own = JSONValue.string(client.key.id.rawValue)
    let good = try client.assertion()
    let parts = good.split(separator: ".").map(String.init)
    var assertions = [
      try client.assertion(key: stranger), try client.assertion(header: ["kid": own], key: stranger),
      try client.assertion(header: ["kid": own, "jwk": stranger.jwk], key: stranger),
      try client.assertion(header: ["kid": "other"]), try client.assertion(header: ["alg": "none"]),
      try client.assertion(header: ["alg": "HS256"]), try client.assertion(header: ["alg": "EdDSA"]),
      try client.assertion(header: ["alg": .some(nil)]), try client.assertion(header: ["crit": ["exp"]]),
    ]
    assertions += [parts[0] + "." + parts[1] + ".", parts[0] + "." + parts[1], "", "x", good + "="]
    for assertion in assertions { #expect(await client.authenticate(assertion)?.code == .invalidClient) }
    #expect(await client.authenticate(good) == nil)
  }

  @Test("refuses an assertion of another client than the request names")
  func claimedClient() async throws {
    let client = try await Client()
    #expect(await client.authenticate(try client.assertion(), claimed: client.system.agent.id)?.code == .invalidClient)
    // An app without keys has none that could have signed.
    let id = JSONValue.string(client.system.agent.id.rawValue)
    #expect(await client.authenticate(try client.assertion(["iss": id, "sub": id]))?.code == .invalidClient)
  }

  @Test("finds the key among several by its kid, and by nothing else")
  func severalKeys() async throws {
    let client = try await Client()
    let second = SigningKey.generate(.edDSA, at: TestClock.start)
    _ = try await client.system.server.registry.updateApp(
      client.app.id, settings: .init(), jwks: ["keys": [client.key.jwk, second.jwk]])
    #expect(await client.authenticate(try client.assertion()) == nil)
    #expect(await client.authenticate(try client.assertion(key: second)) == nil)
    #expect(await client.authenticate(try client.assertion(header: ["kid": .some(nil)]))?.code == .invalidClient)
  }

  @Test("grants nothing when the assertion's use can't be stored")
  func storageGone() async throws {
    let client = try await Client()
    await client.system.storage.close()
    #expect(await client.authenticate(try client.assertion())?.code == .temporarilyUnavailable)
  }
}

@Suite("The keys a client registers")
struct ClientKeysTests {
  @Test("are 1 to 8 public keys")
  func parse() throws {
    let key = SigningKey.generate(.es256, at: TestClock.start).jwk
    #expect(try ClientKeys.parse(nil) == nil)
    #expect(try ClientKeys.parse(.null) == nil)
    #expect(try ClientKeys.parse(["keys": [key]]) == ["keys": [key]])
    #expect(try ClientKeys.parse(["keys": .array(Array(repeating: key, count: 8))]) != nil)
    var secret = try #require(key.object)
    secret["d"] = "AA"
    for json in [
      [], [:], ["keys": []], ["keys": .array(Array(repeating: key, count: 9))], ["keys": [.object(secret)]],
      ["keys": [key, [:]]],
      ["keys": [["kty": "oct", "k": "AA"]]], "https://client.example/jwks",
    ] as [JSONValue] {
      #expect(throws: InvalidField.self) { try ClientKeys.parse(json) }
    }
  }
}

@Suite("The administrator's credential")
struct AdminCredentialTests {
  @Test("is made at the first start, shown once and known ever after")
  func life() async throws {
    let system = try await TestSystem()
    let (kept, keep) = AsyncStream.makeStream(of: String.self)
    let first = try await AdminCredential(storage: system.storage) { keep.yield($0.text) }
    let again = try await AdminCredential(storage: system.storage) { _ in Issue.record("made a second one") }
    keep.finish()
    let secrets = await kept.reduce(into: []) { $0.append($1) }
    #expect(secrets.count == 1)
    for credential in [first, again] {
      #expect(credential.matches(secrets[0]))
      for text in ["", secrets[0] + "x", String(secrets[0].dropLast())] { #expect(!credential.matches(text)) }
    }
    let stored = try #require(try await system.storage.query(Statement("SELECT value FROM settings")).first)
    #expect(try !stored.text("value").contains(secrets[0]))
  }

  @Test("is what the operator gives, which ends the one before, and stays the same for several runtimes")
  func given() async throws {
    let system = try await TestSystem()
    _ = try await AdminCredential(storage: system.storage, given: String(repeating: "a", count: 32))
    let first = try await AdminCredential(storage: system.storage, given: String(repeating: "b", count: 32))
    let second = try await AdminCredential(storage: system.storage, given: String(repeating: "b", count: 32))
    #expect(first.matches(String(repeating: "b", count: 32)) && !first.matches(String(repeating: "a", count: 32)))
    #expect(first.fingerprint == second.fingerprint)
    #expect(try await system.rows("settings") == 1)
  }

  @Test("is not stored when it could not be put where the administrator finds it")
  func notKept() async throws {
    let system = try await TestSystem()
    await #expect(throws: StorageError.self) {
      try await AdminCredential(storage: system.storage) { (_) throws(StorageError) in throw .unavailable("full") }
    }
    #expect(try await system.rows("settings") == 0)
  }
}
