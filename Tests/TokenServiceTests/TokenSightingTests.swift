import CASACore
import Testing

@testable import TokenService

@Suite("A token on the wire")
struct TokenSightingTests {
  private typealias Party = TokenSighting.Party

  private static let (shop, bank) = (MASID("mas_shop"), MASID("mas_bank"))
  private static let client = Party(app: AppID("app_client"), mas: shop, name: "client")
  private static let agent = Party(app: AppID("app_agent"), mas: shop, name: "agent")
  private static let other = Party(app: AppID("app_other"), mas: shop, name: "other")
  private static let server = Party(app: AppID("app_server"), mas: shop, name: "server")
  private static let foreign = Party(app: AppID("app_foreign"), mas: bank, name: "foreign")
  private static let gone = Party(app: AppID("app_gone"), mas: nil, name: "the workload gone")
  private static let unknown = Party(app: nil, mas: nil, name: "203.0.113.9:443")
  private static let all = [client, agent, other, server, foreign, gone, unknown]

  private static func token(_ scope: Scope, from holder: Party, to addressee: Party?) throws -> TokenRecord {
    TokenRecord(
      hash: TokenHash(digest: Array(repeating: 7, count: 32)), masID: shop, userInputID: UserInputID("inp_1"),
      traceID: nil, scope: scope, holder: try #require(holder.app), addressee: addressee?.app)
  }

  /// Every pair of parties between which the token may be seen.
  private static func ways(of token: TokenRecord) -> Set<[String]> {
    var ways: Set<[String]> = []
    for sender in all {
      for recipient in all where TokenSighting(sender: sender, recipient: recipient).exfiltration(of: token) == nil {
        ways.insert([sender.name, recipient.name])
      }
    }
    return ways
  }

  @Test(
    "that is for another app goes to that one from its holder, and through their own hands, and nowhere else",
    arguments: [Scope.userInput, .callTools, .discoverTools])
  func addressed(_ scope: Scope) throws {
    let token = try Self.token(scope, from: Self.agent, to: Self.server)
    #expect(Self.ways(of: token) == [["agent", "server"], ["agent", "agent"], ["server", "server"]])
    let first = try Self.token(.userInput, from: Self.client, to: Self.agent)
    #expect(Self.ways(of: first) == [["client", "agent"], ["client", "client"], ["agent", "agent"]])
  }

  @Test(
    "that is for the LLM, or for no app in particular, stays in its holder's hands",
    arguments: [
      Scope.llmAccess, .userInput,
    ])
  func kept(_ scope: Scope) throws {
    #expect(Self.ways(of: try Self.token(scope, from: Self.agent, to: nil)) == [["agent", "agent"]])
  }

  @Test("that is somewhere else is there for a reason")
  func reasons() throws {
    let token = try Self.token(.callTools, from: Self.agent, to: Self.server)
    let cases: [(Party, Party, TokenExfiltration.Reason)] = [
      (Self.unknown, Self.server, .senderUnknown), (Self.unknown, Self.unknown, .senderUnknown),
      (Self.foreign, Self.server, .senderForeign), (Self.gone, Self.server, .senderForeign),
      (Self.other, Self.server, .senderNotHolder), (Self.server, Self.agent, .senderNotHolder),
      (Self.client, Self.agent, .senderNotHolder), (Self.other, Self.other, .senderNotHolder),
      (Self.agent, Self.unknown, .recipientUnknown), (Self.agent, Self.foreign, .recipientForeign),
      (Self.agent, Self.gone, .recipientForeign), (Self.agent, Self.other, .recipientNotAddressed),
      (Self.agent, Self.client, .recipientNotAddressed),
    ]
    for (sender, recipient, reason) in cases {
      #expect(TokenSighting(sender: sender, recipient: recipient).exfiltration(of: token) == reason)
    }
  }

  @Test("is told about in one sentence that says what was expected")
  func explanation() throws {
    let names = Dictionary(uniqueKeysWithValues: Self.all.compactMap { party in party.app.map { ($0, party.name) } })
    func sentence(_ token: TokenRecord, _ sighting: TokenSighting) throws -> String {
      let reason = try #require(sighting.exfiltration(of: token))
      return sighting.explanation(of: token, reason) { names[$0] ?? $0.rawValue }
    }
    let sighting = TokenSighting(sender: Self.agent, recipient: Self.unknown)
    #expect(
      try sentence(try Self.token(.callTools, from: Self.agent, to: Self.server), sighting)
        == "a token of scope call-tools went from agent to 203.0.113.9:443, but it may only go from agent to server: no app is known at that address"
    )
    #expect(
      try sentence(try Self.token(.llmAccess, from: Self.agent, to: nil), sighting)
        == "a token of scope llm-access went from agent to 203.0.113.9:443, but it may never leave agent's sidecar: no app is known at that address"
    )
  }
}
