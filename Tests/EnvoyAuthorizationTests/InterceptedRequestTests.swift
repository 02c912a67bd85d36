import AgentProtocols
import CASACore
import Foundation
import SwiftProtobuf
import Testing

@testable import EnvoyAuthorization

private typealias HTTPRequest = Envoy_Service_Auth_V3_AttributeContext.HttpRequest

private func refusal(_ operation: () throws(Refusal) -> Void) -> RefusalReason? {
  do {
    try operation()
    return nil
  } catch {
    return error.reason
  }
}

@Suite("A request that the proxy holds")
struct InterceptedRequestTests {
  private func request(_ headers: [(String, String)], body: String = "{}") -> InterceptedRequest {
    InterceptedRequest(
      method: "POST", path: "/", hasQuery: false, headers: headers.map { (name: $0.0, value: $0.1) },
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

  @Test("may not have a header that only CASA's parts use")
  func reserved() {
    for name in ["x-casa-token", "x-casa-", "x-casa-\u{301}x"] {
      let request = request([(name, "1")])
      #expect(refusal { () throws(Refusal) in try request.refuseReservedHeaders() } == .reservedHeader)
    }
    for name in ["x-casa", "x-casablanca", "casa-x"] {
      let request = request([(name, "1")])
      #expect(refusal { () throws(Refusal) in try request.refuseReservedHeaders() } == nil)
    }
  }
}

/// What is read of the bytes that SwiftProtobuf writes.
private func read(_ http: HTTPRequest) throws(Refusal) -> InterceptedRequest {
  var question = Envoy_Service_Auth_V3_CheckRequest()
  question.attributes.request.http = http
  let reader: CheckRequestReader
  do {
    reader = try CheckRequestReader(parsing: Array(question.serializedData()))
  } catch {
    throw Refusal(.malformedRequest, "\(error)")
  }
  return try InterceptedRequest(reader)
}

@Suite("Envoy's description of a request")
struct CheckRequestTests {
  private func description(_ headers: [(String, String)] = [(":method", "POST")], path: String = "/mcp") -> HTTPRequest
  {
    var http = HTTPRequest()
    http.method = "POST"
    http.path = path
    http.headerMap.headers = headers.map { header in
      var value = Envoy_Config_Core_V3_HeaderValue()
      value.key = header.0
      value.rawValue = Data(header.1.utf8)
      return value
    }
    return http
  }

  private func reason(_ http: HTTPRequest) -> RefusalReason? {
    refusal { () throws(Refusal) in _ = try read(http) }
  }

  @Test("is taken over, with the headers as they were sent and without Envoy's own")
  func takesOver() throws {
    var http = description([
      (":authority", "x"), ("Content-Type", "application/json"), ("a", "1"), ("a", "2"),
      ("x-envoy-auth-partial-body", "false"),
    ])
    http.rawBody = Data("{}".utf8)
    let request = try read(http)
    #expect(request.method == "POST")
    #expect(request.path == "/mcp")
    #expect(!request.hasQuery)
    #expect(request.headers.map(\.name) == ["content-type", "a", "a"])
    #expect(request.values("a") == ["1", "2"])
    #expect(request.body == Array("{}".utf8))
  }

  @Test("has a header's text where Envoy puts it, and a body in either form")
  func forms() throws {
    var http = description()
    var header = Envoy_Config_Core_V3_HeaderValue()
    (header.key, header.value) = ("a", "plain")
    http.headerMap.headers.append(header)
    http.body = "{}"
    let request = try read(http)
    #expect(request.values("a") == ["plain"])
    #expect(request.body == Array("{}".utf8))
  }

  @Test("is refused without the list of raw headers, in which a repeated one shows")
  func rawHeaders() {
    var http = description([])
    http.headers = ["authorization": "Bearer a,Bearer b"]
    #expect(reason(http) == .malformedRequest)
  }

  @Test("is refused when it holds the body only in part, in whatever form it says so")
  func partialBody() {
    for value in ["true", "TRUE", "", "1"] {
      #expect(reason(description([("x-envoy-auth-partial-body", value)])) == .bodyTooLarge)
      #expect(reason(description([("X-Envoy-Auth-Partial-Body", value)])) == .bodyTooLarge)
    }
    // A client's own header does not hide Envoy's.
    #expect(
      reason(description([("x-envoy-auth-partial-body", "false"), ("x-envoy-auth-partial-body", "true")]))
        == .bodyTooLarge)
    var http = description()
    http.headers = ["x-envoy-auth-partial-body": "true"]
    #expect(reason(http) == .bodyTooLarge)
    http.headers = ["x-envoy-auth-partial-body": "false"]
    #expect(reason(http) == nil)
  }

  @Test("is refused with a header that is not UTF-8")
  func headerCoding() {
    var http = description()
    var header = Envoy_Config_Core_V3_HeaderValue()
    header.key = "a"
    header.rawValue = Data([0xC3, 0x28])
    http.headerMap.headers.append(header)
    #expect(reason(http) == .malformedRequest)
  }

  @Test("shows whether there is a query", arguments: ["/mcp?", "/mcp?x=1", "/mcp#f", "/mcp?x#y"])
  func queries(path: String) throws {
    let request = try read(description(path: path))
    #expect(request.path == "/mcp")
    #expect(request.hasQuery)
  }

  @Test(
    "is refused for a target that Swift could take for another",
    arguments: ["/\u{212A}", "/mcp\u{37E}", "/mcp?\u{301}", "/m cp", "/mcp\n", "/é"])
  func targets(path: String) { #expect(reason(description(path: path)) == .malformedRequest) }
}

@Suite("The answer to a refused request")
struct RefusalBodyTests {
  private let refusal = Refusal(.toolNotSelectedByLLM, "why", decisionID: "dec_1")

  private func body(_ record: RequestRecord?) throws -> JSONValue {
    try JSONValue(parsing: RefusalBody.text(refusal, record: record))
  }

  @Test("is JSON-RPC's error where a request has an id")
  func jsonRPC() throws {
    var record = RequestRecord(direction: "egress", destination: "weather")
    record.requestID = .integer(7)
    let body = try body(record)
    #expect(body["id"] == 7)
    #expect(body["error"]?["code"] == -32_003)
    #expect(
      body["error"]?["data"] == ["reason": "tool_not_selected_by_llm", "explanation": "why", "decision_id": "dec_1"])
  }

  @Test("is OpenAI's error where the LLM was asked")
  func openAI() throws {
    let body = try body(RequestRecord(direction: "egress", destination: "llm"))
    #expect(body["error"]?["code"] == "tool_not_selected_by_llm")
    #expect(body["error"]?["type"] == "casa_refused")
  }

  @Test("is a problem elsewhere")
  func problem() throws {
    let body = try body(nil)
    #expect(body["status"] == 403)
    #expect(body["reason"] == "tool_not_selected_by_llm")
  }
}

@Suite("The name of a listener")
struct ListenerTests {
  @Test("is ingress or a numbered egress")
  func names() {
    #expect(Listener(name: "ingress") == .ingress)
    #expect(Listener(name: "egress-0") == .egress(0))
    #expect(Listener(name: "egress-999") == .egress(999))
    for name in [
      "", "Ingress", "egress", "egress-", "egress--1", "egress-1000", "egress-x", "egress-1 ",
      "egress-99999999999999999999",
    ] {
      #expect(Listener(name: name) == nil)
    }
    for listener in [Listener.ingress, .egress(3)] { #expect(Listener(name: listener.name) == listener) }
  }
}
