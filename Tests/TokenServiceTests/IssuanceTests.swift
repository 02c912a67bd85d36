import AgentProtocols
import CASACore
import Storage
import Testing
import Traces

@testable import TokenService

@Suite("Issuing a token for a user's input")
struct IssuanceTests {
  @Test("gives a T1 that says who spoke for the user, where and for how long")
  func claims() async throws {
    let system = try await TestSystem()
    let trace = "0af7651916cd43dd8448eb211c80319c"
    let token = try await system.issue([("user_input", "What is the weather?"), ("trace_id", trace)])
    let claims = token.claims
    #expect(claims.issuer == TestSystem.issuer)
    #expect(claims.subject == system.client.id)
    #expect(claims.clientID == system.client.id)
    #expect(claims.audience == [Audience.mas(system.mas.id)])
    #expect(claims.masID == system.mas.id)
    #expect(claims.scope == .userInput)
    #expect(claims.actors.isEmpty)
    #expect(claims.traceID?.text == trace)
    #expect(claims.issuedAt == TestClock.start)
    #expect(claims.expiresAt == TestClock.start + .seconds(300))
    #expect(claims.tools.map(\.text) == ["get_forecast", "get_weather", "send_mail"])
    #expect(claims.call == nil)
    #expect(try await system.isActive(token, for: system.client))
  }

  @Test("stores the input once, with its hash, and it stays as it is")
  func immutability() async throws {
    let system = try await TestSystem()
    let token = try await system.issue([("user_input", "Pay é 5")])
    let id = try #require(token.claims.userInputID)
    let stored = try #require(try await system.server.userInput(id))
    #expect(stored.text == "Pay é 5")
    #expect(stored.input.sha256 == token.claims.userInputSHA256)
    // Naming it again gives the same input, and text beside it is refused.
    let again = try await system.issue([("user_input_id", id.rawValue)])
    #expect(again.claims.userInputID == id)
    #expect(again.claims.userInputSHA256 == token.claims.userInputSHA256)
    #expect(again.claims.traceID == token.claims.traceID)
    let both = await refusal {
      _ = try await system.issue([("user_input_id", id.rawValue), ("user_input", "Pay 5000")])
    }
    #expect(both?.code == .invalidRequest)
    #expect(try await system.server.userInput(id)?.text == "Pay é 5")
    #expect(try await system.rows("user_inputs") == 1)
  }

  @Test("takes an input of up to 65,536 bytes")
  func size() async throws {
    let system = try await TestSystem()
    let largest = String(repeating: "é", count: 32_768)
    _ = try await system.issue([("user_input", largest)])
    let error = await refusal { _ = try await system.issue([("user_input", largest + "a")]) }
    #expect(error?.code == .invalidRequest)
    #expect(try await system.rows("user_inputs") == 1)
  }

  @Test("begins each input with a trace of its own")
  func traces() async throws {
    let system = try await TestSystem()
    let trace = ("trace_id", "0af7651916cd43dd8448eb211c80319c")
    let first = try await system.issue([("user_input", "a"), trace])
    let error = await refusal { _ = try await system.issue([("user_input", "b"), trace]) }
    #expect(error?.code == .invalidRequest)
    // The refused one left no session behind, and the first goes on.
    #expect(system.server.liveSessions == 1)
    #expect(try await system.rows("user_inputs") == 1)
    #expect(try await system.isActive(first, for: system.client))
    let random = [try await system.issue([("user_input", "a")]), try await system.issue([("user_input", "a")])]
    #expect(random[0].claims.traceID != random[1].claims.traceID)
    #expect(random[0].claims.userInputID != random[1].claims.userInputID)
  }

  @Test("lets another MAS have the same trace")
  func tracesOfOthers() async throws {
    let system = try await TestSystem()
    let registry = system.server.registry
    let mas = try await registry.createMAS(name: try #require(Name("bank")), settings: .init())
    let client = try await TestSystem.app("assistant", .client, in: mas.id, registry)
    let trace = ("trace_id", "0af7651916cd43dd8448eb211c80319c")
    _ = try await system.issue([("user_input", "a"), trace])
    _ = try await system.issue([("user_input", "a"), trace], to: client)
  }

  @Test("refuses a stored input that another app brought, or with another trace")
  func storedInput() async throws {
    let system = try await TestSystem()
    let second = try await TestSystem.app("second", .client, in: system.mas.id, system.server.registry)
    let id = try #require(try await system.issue().claims.userInputID)
    let stored = ("user_input_id", id.rawValue)
    for fields in [[("user_input_id", "inp_none")], [stored, ("trace_id", TraceID.random().text)]] {
      #expect(await refusal { _ = try await system.issue(fields) }?.code == .invalidRequest)
    }
    #expect(await refusal { _ = try await system.issue([stored], to: second) }?.code == .invalidRequest)
  }

  @Test("is for clients only")
  func kinds() async throws {
    let system = try await TestSystem()
    for app in [system.agent, system.weather] {
      #expect(await refusal { _ = try await system.issue(to: app) }?.code == .unauthorizedClient)
    }
    #expect(try await system.rows("user_inputs") == 0)
  }

  @Test("gives the scope user-input only")
  func scope() async throws {
    let system = try await TestSystem()
    let input = ("user_input", "a")
    #expect(try await system.issue([input, ("scope", "user-input")]).claims.scope == .userInput)
    for scope in ["llm-access", "call-tools", "discover-tools", "admin", "user-input call-tools"] {
      #expect(await refusal { _ = try await system.issue([input, ("scope", scope)]) }?.code == .invalidScope)
    }
  }

  @Test("gives fewer tools and a shorter life when asked, never more")
  func narrowing() async throws {
    let system = try await TestSystem()
    let input = ("user_input", "a")
    let token = try await system.issue([input, ("tools", "get_weather"), ("expires_in", "10")])
    #expect(token.claims.tools.map(\.text) == ["get_weather"])
    #expect(token.claims.expiresAt == TestClock.start + .seconds(10))
    let unknown = await refusal { _ = try await system.issue([input, ("tools", "get_weather rm_rf")]) }
    #expect(unknown?.code == .invalidScope)
    #expect(unknown?.reason == .unknownTool)
    for lifetime in ["301", "0", "-1", "1.5", "999999999", "x"] {
      #expect(await refusal { _ = try await system.issue([input, ("expires_in", lifetime)]) }?.code == .invalidRequest)
    }
  }

  @Test("addresses the token to the agent it is for")
  func audience() async throws {
    let system = try await TestSystem()
    let input = ("user_input", "a")
    for name in ["planner", Audience.app(system.agent.id)] {
      let token = try await system.issue([input, ("audience", name)])
      #expect(token.claims.isAddressed(to: system.agent.id))
      #expect(!token.claims.isAddressed(to: system.other.id))
    }
    for name in ["nobody", "assistant", "urn:casa:app:app_none", "urn:casa:mas:x", "https://x"] {
      #expect(await refusal { _ = try await system.issue([input, ("audience", name)]) }?.code == .invalidTarget)
    }
  }

  @Test("is in the trace without the prompt and without the token")
  func trace() async throws {
    let system = try await TestSystem()
    let token = try await system.issue([("user_input", "a secret wish")])
    let received = try #require(try await system.events(.userInputReceived).first)
    #expect(received["payload"] == ["bytes": 13, "sha256": .string(try #require(token.claims.userInputSHA256))])
    let issued = try #require(try await system.events(.tokenIssued).first)
    #expect(issued["payload"]?["token_sha256"]?.string == token.hash.text)
    for event in try await system.events() {
      #expect(!event.canonicalText.contains("secret wish"))
      #expect(!event.canonicalText.contains(token.compact))
    }
  }

  @Test("grants nothing when it can't be stored")
  func storageGone() async throws {
    let system = try await TestSystem()
    await system.storage.close()
    let error = await refusal { _ = try await system.issue() }
    #expect(error?.code == .temporarilyUnavailable)
    #expect(system.server.liveSessions == 0)
  }
}

@Suite("A request at the token endpoint")
struct TokenRequestTests {
  private func refusal(_ fields: [(String, String)]) throws -> OAuthError? {
    let form = try FormBody(parsing: FormBody.encode(fields))
    do throws(OAuthError) {
      _ = try TokenRequest(form: form)
      return nil
    } catch {
      return error
    }
  }

  private let exchange = [
    ("grant_type", TokenRequest.tokenExchangeGrant), ("subject_token", "t"),
    ("subject_token_type", ExchangeRequest.accessTokenType),
  ]

  @Test("needs a grant type that is known")
  func grantType() throws {
    #expect(try refusal([])?.code == .invalidRequest)
    #expect(try refusal([("grant_type", "password")])?.code == .unsupportedGrantType)
    #expect(try refusal([("grant_type", "client_credentials"), ("user_input", "a")]) == nil)
    #expect(try refusal(exchange) == nil)
  }

  @Test("needs exactly one way to name the input and the trace")
  func inputs() throws {
    let grant = ("grant_type", "client_credentials")
    let input = ("user_input", "a")
    let parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    let trace = ("trace_id", "0af7651916cd43dd8448eb211c80319c")
    #expect(try refusal([grant, input, parent]) == nil)
    #expect(try refusal([grant, input, trace]) == nil)
    for fields in [
      [], [("user_input", "")], [input, ("user_input_id", "inp_1")], [("user_input_id", "a b")],
      [input, parent, trace],
      [input, ("traceparent", "00-x")], [input, ("trace_id", "x")],
    ] {
      #expect(try refusal([grant] + fields)?.code == .invalidRequest)
    }
  }

  @Test("of an exchange has tokens with their types")
  func types() throws {
    let jwt = "urn:ietf:params:oauth:token-type:jwt"
    #expect(try refusal(exchange + [("actor_token", "a"), ("actor_token_type", jwt)]) == nil)
    #expect(try refusal(exchange + [("requested_token_type", jwt)]) == nil)
    for fields in [
      [exchange[0], exchange[1]], [exchange[0], exchange[2]],
      [exchange[0], exchange[1], ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")],
      exchange + [("actor_token", "a")], exchange + [("actor_token_type", jwt)],
      exchange + [("actor_token", "a"), ("actor_token_type", "x")],
      exchange + [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
    ] {
      #expect(try refusal(fields)?.code == .invalidRequest)
    }
  }

  @Test("names the audience once, by either parameter")
  func audience() throws {
    #expect(try refusal(exchange + [("audience", "a"), ("resource", "a")]) == nil)
    #expect(try refusal(exchange + [("audience", "a"), ("resource", "b")])?.code == .invalidTarget)
  }

  @Test(
    "names tools once each, with one space between them",
    arguments: ["a  b", " a", "a ", "a a", "a,b", "a\u{A0}b", "é"])
  func tools(text: String) throws { #expect(try refusal(exchange + [("tools", text)])?.code == .invalidRequest) }

  @Test(
    "has authorization details of exactly one call",
    arguments: [
      "", "x", "{}", "[]", "[1]", "null",
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{}},{"type":"mcp_tool_call","server":"s","tool":"u","arguments":{}}]"#,
      #"[{"server":"s","tool":"t","arguments":{}}]"#, #"[{"type":"payment","server":"s","tool":"t","arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","tool":"t","arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","server":"S","tool":"t","arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","server":"s","arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t "," arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t"}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":[]}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{},"actions":[]}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","tool":"u","arguments":{}}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{},"arguments_sha256":"00"}]"#,
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{},"arguments_sha256":null}]"#,
    ])
  func details(text: String) throws {
    // An empty value counts as not sent.
    let expected: OAuthError.Code? = text.isEmpty ? nil : .invalidAuthorizationDetails
    #expect(try refusal(exchange + [("authorization_details", text)])?.code == expected)
  }

  @Test("takes a digest of the arguments that is right")
  func digest() throws {
    let text =
      #"[{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{},"arguments_sha256":"\#(argumentsSHA256([:]))"}]"#
    #expect(try refusal(exchange + [("authorization_details", text)]) == nil)
  }
}
