import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

@Suite("A request that the proxy holds")
struct InterceptedRequestTests {
  private func request(_ headers: [(String, String)], body: String = "{}") -> InterceptedRequest {
    InterceptedRequest(
      method: "POST", path: "/", headers: headers.map { (name: $0.0, value: $0.1) },
      body: Array(body.utf8))
  }

  @Test("has one value of a header that may be sent once")
  func single() throws {
    #expect(try request([("a", "1"), ("b", "2")]).single("a") == "1")
    #expect(try request([]).single("a") == nil)
    for values in [["1", "2"], ["1", "1"], ["", ""]] {
      let request = request(values.map { ("authorization", $0) })
      #expect(refusal { () throws(Refusal) in _ = try request.single("authorization") } == .duplicateHeader)
    }
  }

  @Test("has no header that would take for ever to compare", .timeLimit(.minutes(1)))
  func combiningMarks() {
    func read(_ marks: Int) -> RefusalReason? {
      let value = Array(
        ("x" + String(repeating: "\u{301}", count: marks) + String(repeating: "\u{316}", count: marks)).utf8)
      return refusal { () throws(Refusal) in
        _ = try InterceptedRequest(
          method: Array("POST".utf8)[...], target: Array("/".utf8)[...], host: Array("a".utf8)[...],
          fields: [RawField(name: Array("authorization".utf8)[...], value: value[...])], body: [])
      }
    }
    #expect(read(64) == nil)
    #expect(read(65) == .malformedRequest)
    #expect(read(8000) == .malformedRequest)
  }

  @Test("has the trace of its traceparent; a malformed one counts as none, two are refused")
  func traceParent() throws {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    #expect(try request([("traceparent", text)]).traceParent()?.text == text)
    #expect(try request([("traceparent", "x")]).traceParent() == nil)
    #expect(try request([]).traceParent() == nil)
    let twice = request([("traceparent", text), ("traceparent", text)])
    #expect(refusal { () throws(Refusal) in _ = try twice.traceParent() } == .duplicateHeader)
  }

  @Test(
    "has a JSON body when it says so",
    arguments: [
      "application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=\"UTF-8\"",
      "application/json ; charset=utf-8", "application/json;",
    ])
  func json(type: String) throws {
    #expect(try request([("content-type", type)]).jsonBody() == Array("{}".utf8))
    #expect(try request([("content-type", type), ("content-encoding", "identity")]).jsonBody() == Array("{}".utf8))
  }

  @Test(
    "has no JSON body otherwise",
    arguments: [
      "", "text/plain", "application/jsonl", "application/json-rpc", "text/json", "application/json; charset=utf-16",
      "application/json; charset=latin1", "application/json; charset=utf-8; boundary=x", "application/json, text/plain",
      "multipart/form-data; x=application/json", ";application/json", "application/x-www-form-urlencoded",
      "application /json+x",
    ])
  func noJSON(type: String) {
    let request = request([("content-type", type)])
    #expect(refusal { () throws(Refusal) in _ = try request.jsonBody() } == .protocolNotAllowed)
  }

  @Test("has no JSON body without a content type, with two, or compressed")
  func unreadableBodies() {
    let json = ("content-type", "application/json")
    let none = request([])
    #expect(refusal { () throws(Refusal) in _ = try none.jsonBody() } == .protocolNotAllowed)
    let twice = request([json, ("content-type", "text/plain")])
    #expect(refusal { () throws(Refusal) in _ = try twice.jsonBody() } == .duplicateHeader)
    for encodings in [["gzip"], ["br"], ["identity", "gzip"], ["identity, gzip"], [""]] {
      let request = request([json] + encodings.map { ("content-encoding", $0) })
      #expect(refusal { () throws(Refusal) in _ = try request.jsonBody() } == .protocolNotAllowed)
    }
  }

  @Test("may not have a header that only CASA's parts use, or that chooses a destination")
  func reserved() {
    for name in ["x-casa-token", "x-casa-", "x-casa-\u{301}x", "x-envoy-original-dst-host"] {
      let request = request([(name, "1")])
      #expect(refusal { () throws(Refusal) in try request.refuseReservedHeaders() } == .reservedHeader)
    }
    for name in ["x-casa", "x-casablanca", "casa-x", "x-envoy-original-dst-hosts"] {
      let request = request([(name, "1")])
      #expect(refusal { () throws(Refusal) in try request.refuseReservedHeaders() } == nil)
    }
  }
}
