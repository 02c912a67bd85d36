import CASACore
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Testing
import Traces

@testable import Explorer

@Suite struct VisibleTextTests {
  private let text = VisibleText()

  @Test func markupIsEscaped() {
    #expect(text.escapeText("<a href=\"x\" title='y'>&") == "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;")
    #expect(text.escapeText("plain words, 25 €") == "plain words, 25 €")
  }

  /// In Swift these are single characters that equal neither a quotation mark nor an angle bracket.
  @Test func markupWithCombiningMarksIsEscaped() {
    #expect(text.escapeText("\"\u{301} onload=x") == "&quot;\u{301} onload=x")
    #expect(text.escapeText("<\u{338}b>\u{301}&\u{308}'\u{301}") == "&lt;\u{338}b&gt;\u{301}&amp;\u{308}&#39;\u{301}")
  }

  @Test func whatIsInvisibleIsWrittenOut() {
    #expect(text.escapeText("a\u{202E}b") == "a⟦U+202E⟧b")
    #expect(text.escapeText("\u{0}\u{1B}[2K\u{7F}\u{85}") == "⟦U+0000⟧⟦U+001B⟧[2K⟦U+007F⟧⟦U+0085⟧")
    #expect(text.escapeText("\u{200B}\u{2066}\u{FEFF}\u{2028}\u{E0041}") == "⟦U+200B⟧⟦U+2066⟧⟦U+FEFF⟧⟦U+2028⟧⟦U+E0041⟧")
    #expect(text.escapeText("\u{3164}\u{2003}") == "⟦U+3164⟧⟦U+2003⟧")
    #expect(text.escapeText("a\r\nb") == "a⟦U+000D⟧\nb")
    #expect(text.escapeText("two\nlines\tand a tab") == "two\nlines\tand a tab")
  }

  @Test func lettersOfAllScriptsStay() {
    for word in ["Grüße", "Ελληνικά", "русский", "日本語", "العربية", "हिन्दी", "👍"] { #expect(text.escapeText(word) == word) }
  }
}

@Suite struct TemplateTests {
  /// Nothing is ever put into a page as it came.
  @Test func noTemplateHasAnUnescapedValue() {
    for (name, bytes) in Templates.sources {
      let source = String(decoding: bytes, as: UTF8.self)
      #expect(!source.contains("{{{") && !source.contains("{{&"), "\(name)")
      #expect(!source.contains(" style=") && !source.contains(" onclick="), "\(name)")
    }
  }

  @Test func scriptsWriteNoMarkup() {
    for (name, asset) in Assets().files where name.hasSuffix(".js") {
      let source = String(decoding: asset.bytes, as: UTF8.self)
      for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
        #expect(!source.contains(forbidden), "\(name) has \(forbidden)")
      }
    }
  }

  @Test func scriptsImportEachOtherByHash() throws {
    let assets = Assets()
    let text = try #require(assets.paths["text.js"])
    for name in ["explorer.js", "live.js", "graph.js", "session.js"] {
      let path = try #require(assets.paths[name])
      let asset = try #require(assets.files[String(path.dropFirst("/explorer/assets/".count))])
      #expect(String(decoding: asset.bytes, as: UTF8.self).contains("from \"\(text)\""), "\(name)")
    }
  }
}

@Suite struct MomentTests {
  @Test func durationsHaveTheUnitThatReadsBest() {
    #expect(Moment.duration(milliseconds: 0.005) == "0.01 ms")
    #expect(Moment.duration(milliseconds: 225) == "225 ms")
    #expect(Moment.duration(milliseconds: 1_800_000) == "30 min")
    #expect(Moment.duration(milliseconds: 5_400_000) == "1.5 h")
    #expect(Decimal.text(-1.274, places: 3) == "−1.274")
    #expect(Decimal.text(.infinity, places: 1) == "–")
    #expect(Decimal.grouped(1_234_567) == "1\u{A0}234\u{A0}567")
  }
}

@Suite struct DrawingTests {
  private static func bucket(_ allowed: Int, _ refused: Int) -> JSONValue {
    ["at": "2026-01-31T12:00:00.000Z", "allowed": .number(Double(allowed)), "refused": .number(Double(refused))]
  }

  @Test func oneRefusalIsSeenBesideAThousandCalls() throws {
    let chart = CallsChart(["bucket_seconds": 60, "calls": .array([Self.bucket(1000, 0), Self.bucket(0, 1)])])
    let bars = try #require(chart.view["bars"] as? [View])
    #expect(bars[0]["hasRefused"] as? Bool == false)
    let height = try #require(Double(bars[1]["down"] as? String ?? ""))
    #expect(height >= 1.5)
    let base = try #require(Double(chart.view["base"] as? String ?? ""))
    #expect(base + height <= 100)
  }

  @Test func timesWithoutCallsKeepTheirPlace() throws {
    let chart = CallsChart([
      "from": "2026-01-31T11:00:30.000Z", "to": "2026-01-31T13:00:30.000Z", "bucket_seconds": 600,
      "calls": .array([Self.bucket(1, 0)]),
    ])
    let bars = try #require(chart.view["bars"] as? [View])
    #expect(bars.count == 13)
    #expect(bars.firstIndex { $0["hasAllowed"] as? Bool == true } == 6)
  }

  @Test func aChartWithoutCallsSaysSo() {
    #expect(CallsChart([:]).view["isEmpty"] as? Bool == true)
    #expect(CallsChart(["calls": .array([Self.bucket(0, 0)])]).view["isEmpty"] as? Bool == true)
  }

  @Test func theGraphHasABoxForAllThatIsCalled() throws {
    let graph = CallGraph([
      "apps": [["id": "a", "name": "client", "kind": "client"], ["id": "b", "name": "agent", "kind": "agent"]],
      "edges": [
        ["from": "a", "to": "agent", "protocol": "a2a", "allowed": 3, "refused": 0],
        ["from": "b", "to": "llm", "protocol": "llm", "allowed": 1, "refused": 0],
        ["from": "b", "to": "stranger", "protocol": "mcp", "allowed": 0, "refused": 2],
      ],
    ])
    #expect(graph.nodes.map(\.name) == ["client", "agent", "llm", "stranger"])
    let x = graph.nodes.map(\.x)
    #expect(x[0] < x[1] && x[1] < x[2] && x[2] == x[3])
    #expect(graph.nodes[2].y != graph.nodes[3].y)
    let lines = try #require(graph.view["lines"] as? [View])
    #expect(lines.map { $0["tone"] as? String } == ["allowed", "allowed", "refused"])
  }

  @Test func aTimelineOfManyEventsHasFewMarksAndNoRefusalIsHidden() throws {
    let events = (0..<10_000).map { index -> JSONValue in
      [
        "sequence": .number(Double(index)), "at": .string(Timestamp(milliseconds: Int64(index)).rfc3339), "app_id": "a",
        "kind": index == 5003 ? "call_refused" : "call_admitted", "payload": [:],
      ]
    }
    let timeline = Timeline(session: [:], apps: [:], events: events, flows: [])
    let lanes = try #require(timeline.view["lanes"] as? [View])
    let marks = try #require(lanes.first?["marks"] as? [View])
    #expect(marks.count <= 200)
    #expect(marks.count { $0["isRefused"] as? Bool == true } == 1)
    #expect(marks.contains { $0["href"] as? String == "#event-5003" })
  }
}

@Suite struct TokenTreeTests {
  private static func token(_ hash: String, _ parent: String?) -> JSONValue {
    [
      "sha256": .string(hash), "parent_sha256": parent.map(JSONValue.string) ?? .null, "scope": "user-input",
      "expires_at": "2026-01-31T12:00:00.000Z",
    ]
  }

  @Test func childrenStandWithinTheirParents() throws {
    let tree = TokenTree(
      tokens: [Self.token("1", nil), Self.token("2", "1"), Self.token("3", "2"), Self.token("4", "gone")], apps: [:],
      now: Timestamp(milliseconds: 0)
    ).views
    #expect(tree.count == 2)
    let inner = try #require(tree[0]["children"] as? [View])
    #expect((inner[0]["children"] as? [View])?.count == 1)
  }

  @Test func cyclesAndLongChainsEnd() {
    let cycle = TokenTree(
      tokens: [Self.token("1", "2"), Self.token("2", "1"), Self.token("3", "3")], apps: [:],
      now: Timestamp(milliseconds: 0))
    #expect(cycle.views.count == 1)
    let chain = (0..<2000).map { Self.token("\($0)", $0 == 0 ? nil : "\($0 - 1)") }
    #expect(TokenTree(tokens: chain, apps: [:], now: Timestamp(milliseconds: 0)).views.count == 1)
  }
}

@Suite struct LineDifferenceTests {
  @Test func whatChangedIsTold() {
    let lines = LineDifference(from: ["a", "b", "c"], to: ["a", "x", "c", "d"]).lines
    #expect(lines.map { $0.change.rawValue + $0.text } == ["samea", "removedb", "addedx", "samec", "addedd"])
  }

  /// They look alike, and to Swift they are equal.
  @Test func otherBytesAreAChange() {
    #expect(LineDifference(from: ["\u{E9}"], to: ["e\u{301}"]).lines.count == 2)
  }
}

/// Signed in by the cookie `good`, or open.
private struct Browser: BrowserAccess {
  var isOpen = false

  func access(cookie: String?, host: String?) async -> ReadAccess? {
    (isOpen && host == "127.0.0.1:8700") || cookie == "good"
      ? ReadAccess(name: "x", systems: nil, readsPrompts: true) : nil
  }
  func signIn(credential: String) async -> String? { credential == "secret" ? "good" : nil }
}

/// Has nothing, or fails.
private struct NoData: ExplorerData {
  struct Broken: Error {}
  var fails = false

  private func answer() throws -> JSONValue {
    if fails { throw Broken() }
    return [:]
  }
  func systems(_ access: ReadAccess) async throws -> JSONValue { try answer() }
  func system(_ id: MASID, _ access: ReadAccess) async throws -> JSONValue? { nil }
  func sessions(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue { try answer() }
  func session(_ id: UserInputID, isWhole: Bool, _ access: ReadAccess) async throws -> JSONValue? { nil }
  func events(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue { try answer() }
  func lastEvent() async throws -> Int64 {
    _ = try answer()
    return 41
  }
  func alerts(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue { try answer() }
  func statistics(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue { try answer() }
  func graph(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue { try answer() }
  func search(_ text: String, _ access: ReadAccess) async throws -> JSONValue { try answer() }
}

@Suite struct RequestTests {
  private func explorer(open: Bool = true, fails: Bool = false) throws -> Explorer {
    try Explorer(
      data: NoData(fails: fails), browser: Browser(isOpen: open),
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
  }

  private func status(
    _ explorer: Explorer, _ path: String, method: HTTPRequest.Method = .get, scheme: String = "http",
    host: String = "127.0.0.1:8700", headers: HTTPFields = [:], body: String = ""
  ) async -> Response {
    let head = HTTPRequest(method: method, scheme: scheme, authority: host, path: path, headerFields: headers)
    let request = Request(head: head, body: RequestBody(buffer: ByteBuffer(string: body)))
    return await explorer.response(to: request)
  }

  @Test func aStoreThatFailsIsSaidWithoutItsWords() async throws {
    let response = try await status(explorer(fails: true), "/explorer/sessions")
    #expect(response.status == .serviceUnavailable)
  }

  @Test func pagesAnswerWithTheirPolicy() async throws {
    for path in ["/explorer", "/explorer/sessions", "/explorer/alerts", "/explorer/live", "/explorer/search?q=a"] {
      let response = try await status(explorer(), path)
      #expect(response.status == .ok, "\(path)")
      #expect(response.headers[.contentSecurityPolicy]?.hasPrefix("default-src 'none'; script-src 'self'") == true)
      #expect(response.headers[.cacheControl] == "no-store")
    }
  }

  @Test func theLiveViewSaysFromWhereOnItsStreamIsToBeRead() async throws {
    let access = ReadAccess(name: "x", systems: nil, readsPrompts: true)
    #expect(try await explorer().live([:], access).view["start"] as? String == "41")
  }

  /// A page of another site whose name resolves to this machine has its own name as host.
  @Test func openMeansOpenToThisMachineOnly() async throws {
    let response = try await status(explorer(), "/explorer/sessions", host: "evil.example")
    #expect(response.status == .forbidden)
  }

  @Test func theCookieIsSecureOverTLSOnly() async throws {
    let headers: HTTPFields = [
      .contentType: "application/x-www-form-urlencoded", .origin: "https://casa.example",
    ]
    let secure = try await status(
      explorer(open: false), "/explorer/sign-in", method: .post, scheme: "https", host: "casa.example",
      headers: headers, body: "credential=secret")
    #expect(secure.headers[.setCookie] == "casa_session=good; Path=/; HttpOnly; SameSite=Strict; Secure")
    let plain = try await status(
      explorer(open: false), "/explorer/sign-in", method: .post, host: "casa.example", headers: headers,
      body: "credential=secret")
    #expect(plain.headers[.setCookie] == "casa_session=good; Path=/; HttpOnly; SameSite=Strict")
  }

  @Test func aLargeFormIsRefused() async throws {
    let response = try await status(
      explorer(open: false), "/explorer/sign-in", method: .post,
      headers: [.contentType: "application/x-www-form-urlencoded", .origin: "http://127.0.0.1:8700"],
      body: "credential=" + String(repeating: "x", count: 5000))
    #expect(response.status == .badRequest)
  }

  @Test(arguments: [
    ("/explorer/sessions?a=b", "/explorer/sessions?a=b"), ("//evil", "/explorer"), ("https://evil", "/explorer"),
    ("/explorerevil", "/explorer"), ("/explorer/\\evil", "/explorer"), ("/explorer/a\r\nb", "/explorer"),
    ("/explorer/sign-in", "/explorer"), ("", "/explorer"),
  ])
  func signingInLeadsOnlyToPagesOfTheExplorer(next: String, expected: String) {
    #expect(Explorer.destination(next) == expected)
  }
}
