import AgentProtocols
import CASACore
import Enforcement
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
