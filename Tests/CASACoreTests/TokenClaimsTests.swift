import CASACore
import Testing

@Suite("A token's claims")
struct TokenClaimsTests {
  private static let digest = String(repeating: "ab", count: 32)

  private func claims(_ scope: Scope = .userInput) throws -> TokenClaims {
    let binding = ToolCallBinding(
      server: try #require(Name("weather")), tool: try #require(ToolName("get")), argumentsSHA256: Self.digest)
    return TokenClaims(
      issuer: "https://casa.example", subject: AppID("app_user"), audience: [Audience.mas(MASID("mas_1"))],
      clientID: AppID("app_agent"), issuedAt: Timestamp(seconds: 1000), notBefore: Timestamp(seconds: 1001),
      expiresAt: Timestamp(seconds: 1300), id: TokenID("tok_1"), scope: scope, actors: [], masID: MASID("mas_1"),
      userInputID: scope == .discoverTools ? nil : UserInputID("inp_1"),
      traceID: TraceID("0af7651916cd43dd8448eb211c80319c"),
      userInputSHA256: Self.digest, tools: [try #require(ToolName("get"))], call: scope == .callTools ? binding : nil)
  }

  @Test("are read back as they were written", arguments: Scope.allCases)
  func roundTrip(scope: Scope) throws {
    var claims = try claims(scope)
    #expect(TokenClaims(json: claims.json) == claims)
    claims.audience.append(Audience.app(AppID("app_agent")))
    claims.actors = [AppID("app_c"), AppID("app_b"), AppID("app_a")]
    claims.mayAct = AppID("app_c")
    claims.tools = []
    claims.traceID = nil
    claims.userInputSHA256 = nil
    #expect(TokenClaims(json: claims.json) == claims)
  }

  @Test("nest the chain of delegation, the newest actor outermost")
  func actors() throws {
    var claims = try claims()
    #expect(claims.json["act"] == nil)
    claims.actors = [AppID("app_b"), AppID("app_a")]
    #expect(claims.json["act"] == ["sub": "app_b", "act": ["sub": "app_a"]])
  }

  @Test("hold at most 16 actors")
  func maximumActors() throws {
    var claims = try claims()
    claims.actors = (0..<16).map { AppID("app_\($0)") }
    #expect(TokenClaims(json: claims.json) == claims)
    claims.actors.append(AppID("app_16"))
    #expect(TokenClaims(json: claims.json) == nil)
  }

  @Test("say to whom the token is addressed")
  func addressed() throws {
    var claims = try claims()
    #expect(!claims.isAddressed(to: AppID("app_agent")))
    claims.audience.append(Audience.app(AppID("app_agent")))
    #expect(claims.isAddressed(to: AppID("app_agent")))
    #expect(!claims.isAddressed(to: AppID("app_age")))
  }

  @Test(
    "are refused without any that is needed, and with another type in its place",
    arguments: [
      "iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope", "mas_id", "tools", "user_input_id",
    ])
  func needed(name: String) throws {
    var members = try #require(try claims().json.object)
    members[name] = nil
    #expect(TokenClaims(json: .object(members)) == nil)
    for value in [nil, true, [:], [[:]], "", " ", .number(1.5)] as [JSONValue] {
      members[name] = value
      // An issuer and an audience may be any text, which others compare.
      if ["iss", "aud"].contains(name), value.string != nil { continue }
      #expect(TokenClaims(json: .object(members)) == nil)
    }
  }

  @Test(
    "are refused with any that is malformed",
    arguments: [
      ("sub", "a b"), ("client_id", "a/b"), ("jti", "\u{212A}ey "), ("mas_id", "é"), ("scope", "user-input llm-access"),
      ("scope", "User-Input"), ("scope", "call-tools"), ("scope", "discover-tools"), ("exp", "1300"), ("exp", -1),
      ("exp", 253_402_300_800), ("iat", -1), ("nbf", 9_007_199_254_740_991), ("aud", [1]), ("aud", ["a", nil]),
      ("tools", ["a b"]),
      ("tools", [1]), ("tools", "get"), ("user_input_id", ""), ("user_input_sha256", "AB"), ("user_input_sha256", nil),
      ("trace_id", "00000000000000000000000000000000"), ("trace_id", nil), ("act", "app_a"), ("act", [:]), ("act", nil),
      ("act", ["sub": "app_a", "act": [:]]), ("act", ["sub": 1]), ("may_act", [:]), ("may_act", "app_a"),
      ("may_act", ["sub": "a b"]),
      ("authorization_details", []), ("authorization_details", [[:]]), ("authorization_details", nil),
      ("authorization_details", ["type": "mcp_tool_call"]),
    ] as [(String, JSONValue)])
  func malformed(name: String, value: JSONValue) throws {
    var members = try #require(try claims().json.object)
    members[name] = value
    #expect(TokenClaims(json: .object(members)) == nil)
  }

  @Test("name exactly one call in a tool token")
  func call() throws {
    let json = try claims(.callTools).json
    let details = try #require(json["authorization_details"]?.array)
    var members = try #require(json.object)
    members["authorization_details"] = .array(details + details)
    #expect(TokenClaims(json: .object(members)) == nil)
    members["authorization_details"] = nil
    #expect(TokenClaims(json: .object(members)) == nil)
  }

  @Test("are refused when they are no object", arguments: [nil, [], "x", 1] as [JSONValue])
  func notObjects(json: JSONValue) { #expect(TokenClaims(json: json) == nil) }
}

@Suite("The binding of a token to a call")
struct ToolCallBindingTests {
  private let json: JSONValue = [
    "type": "mcp_tool_call", "server": "weather", "tool": "get",
    "arguments_sha256": .string(String(repeating: "0a", count: 32)),
  ]

  @Test("is read back as it was written")
  func roundTrip() throws { #expect(try #require(ToolCallBinding(json: json)).json == json) }

  @Test("is refused unless it is exactly one")
  func refused() throws {
    let members = try #require(json.object)
    for name in members.keys {
      var changed = members
      changed[name] = nil
      #expect(ToolCallBinding(json: .object(changed)) == nil)
      for value in [nil, 1, "", "A B", [:]] as [JSONValue] {
        changed[name] = value
        #expect(ToolCallBinding(json: .object(changed)) == nil)
      }
    }
    var wider = members
    wider["actions"] = []
    #expect(ToolCallBinding(json: .object(wider)) == nil)
  }
}

@Suite("A JSON value")
struct JSONValueTests {
  @Test("yields what it is and nothing else")
  func accessors() {
    let value: JSONValue = ["s": "x", "b": true, "n": 3, "f": .number(1.5), "a": [1], "o": [:], "z": nil]
    #expect(value["s"]?.string == "x")
    #expect(value["b"]?.bool == true)
    #expect(value["n"]?.integer == 3)
    #expect(value["a"]?.array == [1])
    #expect(value["o"]?.object == [:])
    #expect(value["z"] == .null)
    #expect(value["x"] == nil)
    #expect(value["s"]?["x"] == nil)
    #expect(value["n"]?.string == nil)
    #expect(value["n"]?.bool == nil)
    #expect(value["b"]?.integer == nil)
  }

  @Test(
    "is a whole number only within ±(2^53 − 1)",
    arguments: [
      (0, 0), (-3, -3), (9_007_199_254_740_991, 9_007_199_254_740_991), (9_007_199_254_740_992, nil), (1.5, nil),
      (1e300, nil),
      (.nan, nil), (.infinity, nil),
    ] as [(Double, Int64?)])
  func integers(value: Double, expected: Int64?) { #expect(JSONValue.number(value).integer == expected) }
}
