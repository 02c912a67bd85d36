import AgentProtocols
import CASACore
import Enforcement

/// Decides within the proxy about any request, with all there is to know about a small system.
///
/// The input is a digit for the place where the request is held, the claims of the token it comes with (none when there
/// are none) up to a line end, and the request's envelope.
@Sendable func fuzzDecisions(_ bytes: [UInt8]) {
  let line = bytes.prefix { $0 != 0x0A }
  guard let digit = line.first, let place = places[digit],
    let envelope = try? RequestEnvelope(parsing: bytes.dropFirst(line.count + 1))
  else { return }
  let claims = line.dropFirst()
  var fields = envelope.fields
  if !claims.isEmpty { fields.append(RequestEnvelope.Field("authorization", "Bearer " + token(claims))) }
  guard let described = try? RequestEnvelope(fields: fields, body: envelope.body),
    let request = try? InterceptedRequest(described)
  else { return }
  requireClean(request, fieldCount: fields.count)

  let presented = request.values("authorization").first.flatMap { BearerCredentials(headerValue: $0)?.token }
  let active = presented.map {
    DecisionFacts.ActiveToken(hash: tokenHash($0), session: UserInputID("ui_1"), lifetime: .seconds(30))
  }
  let unlearned = LocalDecisions(at: place.point, clock: clock(0))
  require(unlearned.decide(request).verdict.isQuestion, "without facts everything is asked")

  let stranger = LocalDecisions(at: place.point, clock: clock(0))
  var facts = DecisionFacts()
  facts.identity = place.identity
  stranger.learn(facts, epoch: 7, asked: start)
  require(!stranger.decide(request).verdict.isAdmission, "without a token that is known to be active nothing passes")

  let knowing = LocalDecisions(at: place.point, clock: clock(0))
  learn(place, active, knowing)
  let key = RequestKey(
    fields: fields.map { RawField(name: $0.name[...], value: $0.value[...]) }, body: envelope.body)
  require(key.flatMap { knowing.admitAgain($0) } == nil, "nothing is a repetition that was not admitted")
  let (verdict, record) = knowing.decide(request, key: key)
  require(same(knowing.decide(request).verdict, verdict), "the same request is decided about in the same way")
  checkRepetitions(of: verdict, key: key, fields: fields, body: envelope.body, decisions: knowing)

  let late = LocalDecisions(at: place.point, clock: clock(1000))
  learn(place, active, late)
  require(!late.decide(request).verdict.isAdmission, "nothing passes when there was no contact for a second")
  knowing.learn(nil, epoch: 8, asked: start)
  require(knowing.decide(request).verdict.isQuestion, "a new epoch voids what was known")
  require(key.flatMap { knowing.admitAgain($0) } == nil, "nor is anything admitted again then")

  switch verdict {
  case .ask: break
  case .refuse(let refusal):
    let body = RefusalFields(refusal, record: record).body
    require((try? JSONValue(parsing: body))?.object != nil, "a refusal is JSON")
  case .admit(let admission): check(admission, of: request, at: place)
  }
}

/// What was admitted is admitted again, in the same way, and with another id too, as a decision about that would; what was
/// not, or differs by a byte, is no repetition.
private func checkRepetitions(
  of verdict: LocalDecisions.Verdict, key: RequestKey?, fields: [RequestEnvelope.Field], body: [UInt8],
  decisions: LocalDecisions
) {
  guard let key else { return }
  let again = decisions.admitAgain(key)?.admission
  guard case .admit(let admission) = verdict else {
    return require(again == nil, "only what was admitted is admitted again")
  }
  guard key.represents(admission, of: body) else {
    return require(again == nil, "what another id would change is not remembered")
  }
  require(again.map { same(.admit($0), verdict) } ?? false, "what was admitted is admitted again, in the same way")
  let raw = fields.map { RawField(name: $0.name[...], value: $0.value[...]) }
  if let id = JSONRPCIDLocation(in: body) {
    let other = Array(body[..<id.offset] + "12345".utf8 + body[(id.offset + id.length)...])
    require(RequestKey(fields: raw, body: other) == key, "the id is no part of the key")
    let request = (try? RequestEnvelope(fields: fields, body: other)).flatMap { try? InterceptedRequest($0) }
    require(
      request.map { same(decisions.decide($0).verdict, verdict) } ?? false, "with another id it is decided about alike")
  }
  let longer = RequestKey(fields: raw, body: body + [0x20])
  require(longer.flatMap { decisions.admitAgain($0) } == nil, "another body is another request")
  let more = RequestKey(fields: raw + [RawField(name: Array("a".utf8)[...], value: [])], body: body)
  require(more.flatMap { decisions.admitAgain($0) } == nil, "another field makes another request")
  let fewer = RequestKey(fields: Array(raw.dropLast()), body: body)
  require(fewer.flatMap { decisions.admitAgain($0) } == nil, "one field less makes another request")
}

private func check(_ admission: Admission, of request: InterceptedRequest, at place: Place) {
  require(!request.headers.contains { $0.name.utf8.starts(with: "x-casa-".utf8) }, "no header of CASA's comes in")
  require(request.values("authorization").count <= 1, "two tokens do not pass")
  require(request.values("content-encoding").allSatisfy { $0.lowercased() == "identity" }, "what passes can be read")
  let json: JSONValue? = request.body.isEmpty ? Optional.none : accepted(request.body)
  let header = request.values("traceparent").first.flatMap { TraceParent($0)?.traceID }
  let sets = admission.setHeaders.map(\.name)
  if place.point.side != .llm { require(json?["method"] != "tools/call", "no tool call passes unasked") }
  guard place.point.side == .ingress else {
    let meta = json?["params"]?["_meta"]?["traceparent"]?.string.flatMap { TraceParent($0)?.traceID }
    require(header == trace || (header == nil && meta == trace), "it passes in the session it names")
    if place.point.side == .llm {
      require(admission.answerToken == held, "the token stays in the proxy")
      require(sets == [Admission.readAnswerHeader], "the LLM gets no token, and what it answers is read")
      require(Set(admission.removeHeaders).isSuperset(of: ["traceparent", "accept-encoding"]), "nor a trace")
    } else {
      require(
        admission.setHeaders.contains { $0 == ("authorization", "Bearer " + held) }, "it passes with the held token")
    }
    return
  }
  require(admission.removeHeaders == ["authorization"] && !sets.contains("authorization"), "the app gets no token")
  guard let bearer = request.values("authorization").first.flatMap({ BearerCredentials(headerValue: $0) }),
    let claims = (try? CompactJWS(parsing: bearer.token))?.payload
  else { fatalError("broken: nothing enters without a token") }
  let audience = claims["aud"]?.array ?? [claims["aud"] ?? .null]
  require(audience.contains(.string("urn:casa:app:" + place.identity.id.rawValue)), "the token is for this app")
  require(claims["mas_id"] == "mas_1", "the token is of this MAS")
  require(["user-input", "discover-tools"].contains(claims["scope"]?.string), "no other scope is used twice")
  let method = json?["method"]?.string.flatMap { MCPMethod($0) }
  if claims["scope"] == "discover-tools" {
    require(
      method?.methodClass != .restricted && place.identity.kind == .mcpServer || request.method == "GET",
      "discovery only looks around")
  } else {
    require(header.map { claims["trace_id"] == .string($0.text) } ?? true, "the token is of the request's trace")
  }
  if let method, method.methodClass == .restricted, place.identity.kind == .mcpServer {
    require(method.name == "resources/read", "only named methods beside tools pass")
  }
  require((claims["exp"]?.integer ?? 0) > start.seconds, "an ended token does not pass")
}

private func same(_ a: LocalDecisions.Verdict, _ b: LocalDecisions.Verdict) -> Bool {
  switch (a, b) {
  case (.ask, .ask): true
  case (.refuse(let a), .refuse(let b)): a.reason == b.reason && a.explanation == b.explanation
  case (.admit(let a), .admit(let b)):
    a.tokenHash == b.tokenHash && a.removeHeaders == b.removeHeaders && a.answerToken == b.answerToken
      && a.offer == b.offer
      && a.setHeaders.map(\.name) == b.setHeaders.map(\.name)
  default: false
  }
}

extension LocalDecisions.Verdict {
  fileprivate var isQuestion: Bool {
    if case .ask = self { return true }
    return false
  }
  fileprivate var isAdmission: Bool {
    if case .admit = self { return true }
    return false
  }
}

// MARK: The system

private struct Place: Sendable {
  let point: EnforcementPoint
  let identity: WorkloadIdentity
}

private let start = Timestamp(seconds: 1_800_000_000)
private func clock(_ milliseconds: Int64) -> WallClock { WallClock { start + .milliseconds(milliseconds) } }

private let trace = TraceID("0af7651916cd43dd8448eb211c80319c") ?? TraceID.random()
private let held = token(#"{"iss":"held"}"#.utf8)

private func token(_ claims: some Sequence<UInt8>) -> String {
  #"eyJhbGciOiJFUzI1NiJ9."# + Base64URL.encode(claims) + ".AA"
}

/// By the digit that an input begins with.
private let places: [UInt8: Place] = {
  func identity(_ name: String, _ kind: String, _ more: [String: JSONValue] = [:]) -> WorkloadIdentity {
    func app(_ name: String, _ kind: String) -> [String: JSONValue] {
      [
        "id": .string("app_" + name), "mas_id": "mas_1", "name": .string(name), "kind": .string(kind),
        "allowed_methods": ["resources/read"],
      ]
    }
    var members = app(name, kind)
    members["peers"] = .array([
      .object(app("mcp", "mcp_server")), .object(app("other", "agent")), .object(app("client", "client")),
    ])
    members.merge(more) { $1 }
    guard let identity = WorkloadIdentity(.object(members)) else { fatalError("this is no identity") }
    return identity
  }
  let agent = identity("agent", "agent")
  func app(_ name: String) -> EnforcementPoint.Side {
    guard let name = Name(name) else { fatalError("this is no name") }
    return .app(name)
  }
  let prompt = JSONPath("$.prompt")
  let all: [Place] = [
    Place(point: EnforcementPoint(.ingress, path: "/mcp"), identity: identity("mcp", "mcp_server")),
    Place(point: EnforcementPoint(.ingress, path: "/a2a"), identity: agent),
    Place(point: EnforcementPoint(app("mcp"), path: "/mcp"), identity: agent),
    Place(point: EnforcementPoint(app("other"), path: "/a2a"), identity: agent),
    Place(point: EnforcementPoint(.llm, path: "/v1"), identity: agent),
    Place(point: EnforcementPoint(app("other"), path: "/a2a"), identity: identity("client", "client")),
    Place(
      point: EnforcementPoint(.ingress, path: "/ask"),
      identity: identity("agent", "agent", ["prompt_json_path": "$.prompt"])),
    Place(point: EnforcementPoint(app("other"), path: "/ask", promptJSONPath: prompt), identity: agent),
    Place(point: EnforcementPoint(app("other"), path: "/a2a"), identity: identity("mcp", "mcp_server")),
  ]
  return Dictionary(uniqueKeysWithValues: all.enumerated().map { (UInt8(ascii: "0") + UInt8($0), $1) })
}()

private let purposes: [TokenPurpose] = [
  .llm, .call(AppID("app_mcp")), .call(AppID("app_other")), .call(AppID("app_client")),
]
/// Of the ids s1 (the caller's) and s2 (another app's).
private let owners = [("s1", "app_client"), ("s2", "app_thief")].compactMap { id, app in
  MCPSessionID(digest: textDigest(id)).map { DecisionFacts.SessionOwner(session: $0, app: AppID(app)) }
}
private let beginning = textDigest("a")
private let heldHash = tokenHash(held)

private func learn(_ place: Place, _ active: DecisionFacts.ActiveToken?, _ decisions: LocalDecisions) {
  let token = HeldToken(
    compact: held, hash: heldHash, expiresAt: start + .seconds(60), userInputID: UserInputID("ui_1"), parent: nil,
    promptDigest: place.identity.kind == .client ? beginning : nil)
  for (index, purpose) in purposes.enumerated() {
    var facts = DecisionFacts()
    facts.identity = place.identity
    facts.activeToken = active
    facts.sessionToken = DecisionFacts.SessionToken(
      trace: trace, purpose: purpose, token: token, apiKey: nil, lifetime: .seconds(30))
    facts.sessionOwner = owners[index % owners.count]
    decisions.learn(facts, epoch: 7, asked: start)
  }
}
