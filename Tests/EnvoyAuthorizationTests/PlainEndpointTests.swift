import AgentProtocols
import CASACore
import Enforcement
import NIOCore
import NIOHPACK
import Testing

@testable import EnvoyAuthorization

private func envelope(_ fields: [(String, String)], body: String = "") -> [UInt8] {
  Array((fields.map { "\($0.utf8.count),\($1.utf8.count):\($0)\($1)" }.joined() + ";" + body).utf8)
}

private let pseudo = [(":method", "POST"), (":path", "/mcp?x"), (":authority", "bank")]

@Suite("The envelope of a request")
struct RequestEnvelopeTests {
  @Test("is read as Envoy's description is")
  func request() throws {
    let request = try InterceptedRequest(
      RequestEnvelope(parsing: envelope(pseudo + [("A", "1"), ("a", "2")], body: "{}")))
    #expect(request.method == "POST" && request.path == "/mcp" && request.hasQuery)
    #expect(request.values("a") == ["1", "2"] && request.headers.count == 2)
    #expect(request.body == Array("{}".utf8))
  }

  @Test(
    "is refused with what nobody may send",
    arguments: [
      pseudo + [("a", "x\ry")], pseudo + [("a", "\u{7F}")], pseudo + [("a b", "1")], pseudo + [("é", "1")],
      pseudo + [("", "1")], Array(pseudo.dropLast()), pseudo + [pseudo[0]], pseudo + [pseudo[1]],
      [(":method", ""), (":path", "/"), (":authority", "a")],
      [(":method", "GET"), (":path", "/é"), (":authority", "a")],
      [(":method", "GET"), (":path", "/"), (":authority", "a,b")],
    ])
  func refused(fields: [(String, String)]) throws {
    do {
      _ = try InterceptedRequest(RequestEnvelope(parsing: envelope(fields)))
      Issue.record("it was taken")
    } catch {
      let reason = (error as? Refusal)?.reason ?? (error as? ProtocolViolation)?.reason
      #expect(reason == .malformedRequest)
    }
  }
}

@Suite("Where a JSON-RPC request's id stands")
struct JSONRPCIDLocationTests {
  private func found(_ text: String) -> String? {
    let body = Array(text.utf8)
    return JSONRPCIDLocation(in: body).map { String(decoding: body[$0.offset..<$0.offset + $0.length], as: UTF8.self) }
  }

  @Test(
    "is found when the first number called id is the request's own",
    arguments: [
      #"{"id":1}"#, #"{"jsonrpc":"2.0","id":1,"params":{"id":2}}"#, #" {"a":[{}],"b":"{\"}","id":1,"c":2}"#,
      #"{"a":"\\","id":1}"#, #"{"a":{"id":0,"b":[]},"id":1}"#, #"{"a":"\"id\":7,","id":1}"#,
      #"{"a":{"id":1.5},"id":1}"#,
    ])
  func own(text: String) { #expect(found(text) == "1") }

  @Test(
    "is not found otherwise",
    arguments: [
      #"{"params":{"id":2},"id":1}"#, #"[{"id":1}]"#, #"{"a":[{"id":5}],"id":1}"#, #"{"id":"1"}"#, #"{"id":01}"#,
      #"{"id":0}"#,
      #"{"id": 1}"#, #"{"id":1 }"#, #"{"id":1.0}"#, #"{"id":-1}"#, #"{"id":1e2}"#, #"{"id":1234567890123456}"#,
      #"{"id":1"#, "",
      #"{"id":"#, #"{"a":{"id":1234567890123456},"id":1}"#,
    ])
  func other(text: String) { #expect(found(text) == nil) }

  @Test("has up to 15 digits")
  func digits() { #expect(found(#"{"id":123456789012345}"#) == "123456789012345") }
}

@Suite("Records of kept decisions")
struct RecordLinesTests {
  @Test("are lines of a count and an object")
  func reads() throws {
    let lines = try #require(RecordLines(parsing: Array("1 {}\n1000000000 {\"a\":\"b\"}".utf8))).lines
    #expect(lines.map(\.count) == [1, 1_000_000_000])
    #expect(lines.map(\.record) == [[:], ["a": "b"]])
    #expect(RecordLines(parsing: Array("2 {}\n".utf8))?.lines.count == 1)
    #expect(RecordLines(parsing: [])?.lines.isEmpty == true)
  }

  @Test(
    "are refused together when one is not",
    arguments: [
      "1", "1 ", "{}", "0 {}", "01 {}", "-1 {}", "1  []", "1 []", "1 {} {}", "1 {}\n\n1 {}", "1 {}\nx", "1000000001 {}",
      "99999999999999999999 {}", "1 {\"a\":1,\"a\":1}", "\n",
    ])
  func refused(text: String) { #expect(RecordLines(parsing: Array(text.utf8)) == nil) }
}

@Suite("An answer of the plain endpoint")
struct PlainAnswerTests {
  @Test("says in its head what an admission changes")
  func admitted() {
    var admission = Admission()
    admission.setHeaders = [("authorization", "Bearer x")]
    admission.removeHeaders = ["a", "b"]
    admission.answerToken = "t2"
    admission.decisionID = "dec_1"
    let body = Array(#"{"id":12}"#.utf8)
    let reuse = PlainAnswer.Reuse(milliseconds: 500, record: "{}", id: JSONRPCIDLocation(in: body))
    let head = PlainAnswer.admitted(admission, reuse: reuse, epoch: 7).head
    for (name, value) in [
      (":status", "200"), ("x-casa-verdict", "admit"), ("x-casa-epoch", "7"), ("x-casa-set-authorization", "Bearer x"),
      ("x-casa-remove", "a,b"), ("x-casa-answer-token", "t2"), ("x-casa-decision", "dec_1"), ("x-casa-reuse-ms", "500"),
      ("x-casa-record", "{}"), ("x-casa-id-offset", "6"), ("x-casa-id-length", "2"),
    ] { #expect(head[name] == [value], "\(name)") }
    let bare = PlainAnswer.admitted(Admission(), epoch: 1).head
    #expect(bare.count == 3)
  }

  @Test("hands on a refusal's body, and what of a token is wrong")
  func refused() {
    let refusal = Refusal(.tokenMissing, "why")
    let answer = PlainAnswer.refused(refusal, record: RequestRecord(direction: .ingress), epoch: 7)
    #expect(answer.head["x-casa-verdict"] == ["refuse"] && answer.head["x-casa-status"] == ["403"])
    #expect(answer.head["www-authenticate"] == [#"Bearer realm="casa""#])
    #expect(
      answer.body.map { String(buffer: $0) } == RefusalBody(refusal, record: RequestRecord(direction: .ingress)).text)
  }
}
