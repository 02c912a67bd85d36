import AgentProtocols
import CASACore
import Crypto
import Foundation
import Storage
import Synchronization
import Testing
import Traces

@testable import TokenService

@Suite("A token that is not one of ours")
struct ForgedTokenTests {
  /// Makes compact tokens of whatever header, payload and signature a test likes.
  private static func compact(_ header: JSONValue, _ payload: JSONValue, _ sign: ([UInt8]) throws -> [UInt8]) rethrows
    -> String
  {
    let input = Base64URL.encode(header.canonicalBytes) + "." + Base64URL.encode(payload.canonicalBytes)
    return input + "." + Base64URL.encode(try sign(Array(input.utf8)))
  }

  private static func header(of system: TestSystem) -> [String: JSONValue] {
    ["alg": "ES256", "kid": .string(system.server.keys.current.id.rawValue), "typ": "at+jwt"]
  }

  private static func verify(_ compact: String, _ system: TestSystem) -> VerifiedToken? {
    system.server.verifier.verify(UnverifiedToken(compact))
  }

  @Test("is made as the tests make it, when nothing is wrong with it")
  func control() async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    let key = system.server.keys.current
    let compact = try Self.compact(.object(Self.header(of: system)), claims.json) { try key.signature(of: $0) }
    #expect(Self.verify(compact, system)?.claims == claims)
  }

  @Test(
    "is refused for its header, though our own key signed it",
    arguments: [
      ("alg", "none"), ("alg", "None"), ("alg", "HS256"), ("alg", "ES384"), ("alg", "EdDSA"), ("alg", "es256"),
      ("alg", nil), ("alg", ""),
      ("typ", "JWT"), ("typ", "at+JWT"), ("typ", "application/at+jwt"), ("typ", nil), ("kid", "key_unknown"),
      ("kid", nil), ("kid", ""),
      ("kid", "../key"), ("jku", "https://evil.example/jwks"), ("jwk", ["kty": "EC"]),
      ("x5u", "https://evil.example/x"),
      ("x5c", []), ("crit", ["exp"]), ("crit", []), ("b64", false), ("zip", "DEF"), ("cty", "JWT"),
    ] as [(String, JSONValue)])
  func header(name: String, value: JSONValue) async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    var header = Self.header(of: system)
    header[name] = value
    let key = system.server.keys.current
    let compact = try Self.compact(.object(header), claims.json) { try key.signature(of: $0) }
    #expect(Self.verify(compact, system) == nil)
    header[name] = nil
    if ["alg", "typ", "kid"].contains(name) {
      let without = try Self.compact(.object(header), claims.json) { try key.signature(of: $0) }
      #expect(Self.verify(without, system) == nil)
    }
  }

  @Test("is refused unsigned, under any algorithm", arguments: ["none", "ES256"])
  func unsigned(algorithm: String) async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    var header = Self.header(of: system)
    header["alg"] = .string(algorithm)
    let parts =
      Base64URL.encode(JSONValue.object(header).canonicalBytes) + "." + Base64URL.encode(claims.json.canonicalBytes)
    for signature in ["", ".", ".AA", "." + Base64URL.encode([UInt8](repeating: 0, count: 64))] {
      #expect(Self.verify(parts + signature, system) == nil)
    }
  }

  @Test("is refused when our public key was its secret")
  func publicKeyAsSecret() async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    let jwk = try #require(system.server.keys.jwks["keys"]?.array?.first)
    let x = try #require(jwk["x"]?.string.flatMap { Base64URL.decode($0) })
    let y = try #require(jwk["y"]?.string.flatMap { Base64URL.decode($0) })
    let pem = try P256.Signing.PublicKey(x963Representation: [4] + x + y).pemRepresentation
    for secret in [Array(pem.utf8), jwk.canonicalBytes, [4] + x + y] {
      for algorithm in ["HS256", "ES256"] {
        var header = Self.header(of: system)
        header["alg"] = .string(algorithm)
        let compact = Self.compact(.object(header), claims.json) { input in
          Array(HMAC<SHA256>.authenticationCode(for: input, using: SymmetricKey(data: secret)))
        }
        #expect(Self.verify(compact, system) == nil)
      }
    }
  }

  @Test("is refused when another key signed it, also one that it brings along")
  func otherKey() async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    let stranger = SigningKey.generate(.es256, at: TestClock.start)
    var header = Self.header(of: system)
    #expect(
      Self.verify(try Self.compact(.object(header), claims.json) { try stranger.signature(of: $0) }, system) == nil)
    header["kid"] = .string(stranger.id.rawValue)
    #expect(
      Self.verify(try Self.compact(.object(header), claims.json) { try stranger.signature(of: $0) }, system) == nil)
    header["jwk"] = stranger.jwk
    #expect(
      Self.verify(try Self.compact(.object(header), claims.json) { try stranger.signature(of: $0) }, system) == nil)
    let edwards = SigningKey.generate(.edDSA, at: TestClock.start)
    header = Self.header(of: system)
    header["alg"] = "EdDSA"
    #expect(
      Self.verify(try Self.compact(.object(header), claims.json) { try edwards.signature(of: $0) }, system) == nil)
  }

  @Test("is refused with the signature of another token, truncated, or with anything added")
  func splices() async throws {
    let system = try await TestSystem()
    let one = try await system.session("one").compact
    let two = try await system.session("two").compact
    // A verifier without memory, so that nothing is known already.
    let system2 = try await system.restarted()
    let (a, b) = (one.split(separator: "."), two.split(separator: "."))
    var forged = [
      "\(a[0]).\(a[1]).\(b[2])", "\(a[0]).\(b[1]).\(a[2])", "\(a[0]).\(a[1])", "\(a[0]).\(a[1]).", "\(a[1]).\(a[2])",
    ]
    forged += [
      one + ".", one + "=", one + "==", one + " ", " " + one, one + "\n", one + ".AA", "\(a[0])..\(a[2])",
      "Bearer " + one,
    ]
    forged += (1...10).map { String(one.dropLast($0)) } + [String(one.dropFirst())]
    for text in forged { #expect(Self.verify(text, system2) == nil) }
    #expect(Self.verify(one, system2) != nil)
  }

  @Test("is refused in base64url that is not canonical, though the bytes are the same")
  func nonCanonical() async throws {
    let system = try await TestSystem()
    let token = try await system.session().compact
    let system2 = try await system.restarted()
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    // 64 bytes of signature leave four bits of the last letter that say nothing.
    let last = try #require(token.last.flatMap { alphabet.firstIndex(of: $0) })
    for spare in 1..<16 {
      #expect(Self.verify(token.dropLast() + String(alphabet[last | spare]), system2) == nil)
    }
    #expect(Self.verify(token.replacing("-", with: "+").replacing("_", with: "/") + "=", system2) == nil)
  }

  @Test("is refused whatever bit of it changes")
  func mutations() async throws {
    let system = try await TestSystem()
    let token = Array(try await system.session().compact.utf8)
    let system2 = try await system.restarted()
    for index in stride(from: 0, to: token.count, by: 3) {
      var changed = token
      changed[index] ^= 1
      #expect(Self.verify(String(decoding: changed, as: UTF8.self), system2) == nil)
    }
  }

  @Test("is refused for what it claims, though our own key signed it")
  func claims() async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    let changes: [(inout TokenClaims) -> Void] = [
      { $0.issuer = "https://other.example" }, { $0.issuer = TestSystem.issuer + "/" },
      { $0.masID = MASID("mas_gone") }, { $0.clientID = AppID("app_gone") }, { $0.subject = AppID("app_gone") },
      { $0.expiresAt = TestClock.start }, { $0.notBefore = TestClock.start + .seconds(31) },
      { $0.scope = .discoverTools },
    ]
    for change in changes {
      let token = try await system.resigned(claims, change)
      let fresh = UnverifiedToken(token.compact)
      #expect(system.server.live(fresh) == nil)
    }
    #expect(system.server.live(UnverifiedToken(try await system.resigned(claims) { _ in }.compact)) != nil)
  }

  @Test("is refused for a payload that no reader is sure of")
  func payloads() async throws {
    let system = try await TestSystem()
    let claims = try await system.session().claims
    let key = system.server.keys.current
    let text = claims.json.canonicalText
    for payload in [
      text.dropLast() + #","scope":"llm-access"}"#, text + " {}", "\u{FEFF}" + text, "[\(text)]",
      text.dropLast() + #","exp":9e99}"#,
    ] as [String] {
      let input = key.encodedHeader + "." + Base64URL.encode(payload.utf8)
      let compact = input + "." + Base64URL.encode(try key.signature(of: Array(input.utf8)))
      #expect(Self.verify(compact, system) == nil)
    }
  }

  @Test("is refused beyond 8192 bytes, and none is made")
  func size() async throws {
    let system = try await TestSystem()
    var claims = try await system.session().claims
    claims.tools = try (0..<100).map { try #require(ToolName("tool_\($0)_" + String(repeating: "x", count: 100))) }
    #expect(throws: OAuthError.self) { try system.server.signer.sign(claims) }
  }
}

/// Counts how many commits are under way at the same time.
private final class WatchedStorage: StorageDriver {
  private let storage: any StorageDriver
  private let commits = Mutex((now: 0, most: 0))

  init(_ storage: any StorageDriver) { self.storage = storage }

  var mostCommits: Int { commits.withLock { $0.most } }

  func commit(_ unit: [Statement]) async throws(StorageError) {
    commits.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
    defer { commits.withLock { $0.now -= 1 } }
    try await storage.commit(unit)
  }

  func query(_ statement: Statement) async throws(StorageError) -> [Row] { try await storage.query(statement) }
  func migrate(_ migrations: [Migration]) async throws(StorageError) { try await storage.migrate(migrations) }
  func maintain() async throws(StorageError) { try await storage.maintain() }
  func deleteTraceEvents(before limit: Timestamp) async throws(StorageError) {
    try await storage.deleteTraceEvents(before: limit)
  }
  func close() async { await storage.close() }
}

@Suite("The runtime's signing keys")
struct SigningKeyTests {
  private func kids(_ system: TestSystem) -> [String] {
    system.server.keys.jwks["keys"]?.array?.compactMap { $0["kid"]?.string } ?? []
  }

  @Test("sign and verify in either algorithm", arguments: SigningAlgorithm.allCases)
  func algorithms(algorithm: SigningAlgorithm) async throws {
    let configuration = AuthorizationServer.Configuration(issuer: TestSystem.issuer, algorithm: algorithm)
    let system = try await TestSystem(configuration: configuration)
    let token = try await system.session()
    let after = try await system.restarted(configuration: configuration)
    #expect(try await after.isActive(token, for: after.client))
    let jws = try CompactJWS(parsing: token.compact)
    #expect(jws.header["alg"]?.string == algorithm.rawValue)
    #expect(kids(after) == kids(system))
  }

  @Test("are published without their private half")
  func jwks() async throws {
    let system = try await TestSystem()
    _ = try await system.server.rotateSigningKey()
    let keys = try #require(system.server.keys.jwks["keys"]?.array)
    #expect(keys.count == 2)
    for key in keys {
      #expect(Set(try #require(key.object).keys) == ["kty", "crv", "x", "y", "kid", "alg", "use"])
      #expect(VerifyingKey(jwk: key) != nil)
    }
  }

  @Test("that were replaced verify until their last token is gone, and not longer")
  func rotation() async throws {
    let system = try await TestSystem()
    let before = try await system.session()
    let old = kids(system)
    // Signed to outlive its key, which no issued token is; unknown to the verifier's memory.
    var claims = before.claims
    claims.expiresAt = TestClock.start + .seconds(100_000)
    let long = [try system.server.signer.sign(claims), try system.server.signer.sign(claims)]
    let key = try await system.server.rotateSigningKey()
    #expect(kids(system) == [key.id.rawValue] + old)
    #expect(try await system.isActive(before, for: system.client))
    let after = try await system.session()
    #expect(try CompactJWS(parsing: after.compact).header["kid"]?.string == key.id.rawValue)
    // Retention is the tokens' life, the clocks' skew and a second.
    system.clock.advance(by: .seconds(330))
    #expect(system.server.verifier.verify(UnverifiedToken(long[0].compact)) != nil)
    system.clock.advance(by: .seconds(1))
    #expect(system.server.verifier.verify(UnverifiedToken(long[1].compact)) == nil)
    #expect(kids(system) == [key.id.rawValue])
  }

  @Test("replaced many times at once leave the one signing that the storage has")
  func concurrentRotation() async throws {
    let system = try await TestSystem()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<16 { group.addTask { _ = try await system.server.rotateSigningKey() } }
      try await group.waitForAll()
    }
    let rows = try await system.storage.query(Statement("SELECT kid FROM signing_keys WHERE retired_at IS NULL"))
    #expect(try rows.map { try $0.text("kid") } == [system.server.keys.current.id.rawValue])
    #expect(kids(system).count == 17)
  }

  @Test("are replaced one after the other, since memory must follow the storage")
  func oneRotationAtATime() async throws {
    let system = try await TestSystem()
    let storage = WatchedStorage(system.storage)
    let keys = try await SigningKeys(
      storage: storage, algorithm: .es256, tokenLifetime: .seconds(300), clock: system.clock.wallClock)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<16 { group.addTask { _ = try await keys.rotate { _ in Statement("SELECT 1") } } }
      try await group.waitForAll()
    }
    #expect(storage.mostCommits == 1)
  }

  @Test("that were replaced still verify after a restart")
  func rotationAndRestart() async throws {
    let system = try await TestSystem()
    let token = try await system.session()
    let key = try await system.server.rotateSigningKey()
    let after = try await system.restarted()
    #expect(try await after.isActive(token, for: after.client))
    #expect(kids(after).first == key.id.rawValue)
    #expect(try await after.events(.signingKeyRotated).count == 1)
  }

  @Test("change with the algorithm that the operator chooses")
  func changeOfAlgorithm() async throws {
    let system = try await TestSystem()
    let token = try await system.session()
    let after = try await system.restarted(configuration: .init(issuer: TestSystem.issuer, algorithm: .edDSA))
    #expect(try await after.isActive(token, for: after.client))
    #expect(try CompactJWS(parsing: try await after.session().compact).header["alg"]?.string == "EdDSA")
  }

  @Test("are read from a JWK only when it is a public signature key")
  func jwk() throws {
    let good = try #require(SigningKey.generate(.es256, at: TestClock.start).jwk.object)
    let edwards = try #require(SigningKey.generate(.edDSA, at: TestClock.start).jwk.object)
    #expect(VerifyingKey(jwk: .object(good)) != nil)
    #expect(VerifyingKey(jwk: .object(edwards)) != nil)
    for (name, value) in [
      ("kty", "RSA"), ("kty", "oct"), ("crv", "P-384"), ("crv", "Ed25519"), ("x", ""), ("x", "AA"), ("y", "AA"),
      ("d", "AA"), ("k", "AA"),
      ("use", "enc"), ("alg", "ES384"), ("alg", "EdDSA"), ("alg", "none"), ("x", edwards["x"] ?? nil), ("x", 1),
    ] as [(String, JSONValue)] {
      var changed = good
      changed[name] = value
      #expect(VerifyingKey(jwk: .object(changed)) == nil)
    }
    for other in [nil, [], [:], ["kty": "oct", "k": "AA"]] as [JSONValue] { #expect(VerifyingKey(jwk: other) == nil) }
  }
}
