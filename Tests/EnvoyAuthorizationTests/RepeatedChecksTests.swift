import CASACore
import Enforcement
import Foundation
import Sidecar
import SwiftProtobuf
import Testing

@testable import EnvoyAuthorization

private typealias CheckRequest = Envoy_Service_Auth_V3_CheckRequest
private typealias HTTPRequest = Envoy_Service_Auth_V3_AttributeContext.HttpRequest

@Suite("Questions that Envoy asks again")
struct RepeatedChecksTests {
  private final class Someone {}

  private let clock = TestClock()
  private let epoch = DecisionEpoch(startingAt: 5)
  private let workload = Someone()

  private static func header(_ name: String, _ value: String) -> Envoy_Config_Core_V3_HeaderValue {
    var header = Envoy_Config_Core_V3_HeaderValue()
    (header.key, header.value) = (name, value)
    return header
  }

  private func question(
    listener: String = "ingress", of workload: Someone? = nil, _ change: (inout HTTPRequest) -> Void = { _ in }
  ) throws -> RepeatedChecks.Question? {
    var message = CheckRequest()
    message.attributes.contextExtensions = ["casa.listener": listener, "casa.direction": "ingress"]
    var http = HTTPRequest()
    (http.method, http.path, http.host, http.rawBody) = ("POST", "/mcp", "bank", Data("{}".utf8))
    http.headerMap.headers = [Self.header("authorization", "Bearer x"), Self.header("x-request-id", "1")]
    change(&http)
    message.attributes.request.http = http
    return RepeatedChecks.Question(
      try CheckRequestReader(parsing: message.serializedBytes()), at: try #require(Listener(name: listener)),
      of: ObjectIdentifier(workload ?? self.workload))
  }

  private func keeping() throws -> RepeatedChecks {
    let repeated = RepeatedChecks(epoch: epoch, clock: clock.wallClock)
    let question = try #require(try question())
    repeated.keep(
      [1, 2], of: Admission(), body: Array("{}".utf8), recordedAs: ["a": "b"], to: question, for: .seconds(30),
      epoch: repeated.currentEpoch)
    return repeated
  }

  @Test("are answered as before, whatever number Envoy gave them")
  func again() throws {
    let repeated = try keeping()
    let other = try #require(try question { $0.headerMap.headers[1].value = "2" })
    #expect(repeated.answer(to: other)?.bytes == [1, 2])
    #expect(repeated.answer(to: other)?.call.event == ["a": "b"])
  }

  @Test("are the same with another id of their own, but not with another number that an argument has")
  func ids() throws {
    let repeated = try keeping()
    func question(_ body: String) throws -> RepeatedChecks.Question {
      try #require(try self.question { $0.rawBody = Data(body.utf8) })
    }
    for (body, other, isSame) in [
      (#"{"id":1,"method":"ping"}"#, #"{"id":22,"method":"ping"}"#, true),
      (#"{"params":{"id":1},"id":"a"}"#, #"{"params":{"id":2},"id":"a"}"#, false),
    ] {
      repeated.keep(
        [3], of: Admission(), body: Array(body.utf8), recordedAs: [:], to: try question(body), for: .seconds(30),
        epoch: repeated.currentEpoch)
      #expect((repeated.answer(to: try question(other))?.bytes == [3]) == isSame)
    }
  }

  @Test("are others when anything differs that a decision can depend on")
  func others() throws {
    let repeated = try keeping()
    let changes: [(inout HTTPRequest) -> Void] = [
      { $0.method = "GET" }, { $0.path = "/mcp/" }, { $0.host = "Bank" }, { $0.rawBody = Data("{} ".utf8) },
      { $0.rawBody = Data() }, { $0.headerMap.headers[0].value = "Bearer y" },
      { $0.headerMap.headers[0].key = "Authorization" }, { $0.headerMap.headers.removeLast() },
      { $0.headerMap.headers.append(Self.header("x-request-id", "1")) },
      { $0.headerMap.headers.swapAt(0, 1) }, { $0.headers = ["x-envoy-auth-partial-body": "true"] },
      { $0.headers = ["x-envoy-auth-partial-body": ""] },
      { http in
        // The same bytes, with the border between two fields elsewhere.
        http.method = "POST/mc"
        http.path = "p"
      },
    ]
    for change in changes {
      let other = try #require(try question(change))
      #expect(repeated.answer(to: other) == nil)
    }
    #expect(repeated.answer(to: try #require(try question(listener: "egress-0"))) == nil)
    #expect(repeated.answer(to: try #require(try question(of: Someone()))) == nil)
  }

  @Test("are decided anew when the time is over, the clock was set back, or something was revoked")
  func end() throws {
    let asked = try #require(try question())
    let late = try keeping()
    clock.advance(by: .milliseconds(29_999))
    #expect(late.answer(to: asked) != nil)
    clock.advance(by: .milliseconds(1))
    #expect(late.answer(to: asked) == nil)
    clock.advance(by: .seconds(-31))
    #expect(late.answer(to: asked) == nil)

    let voided = try keeping()
    epoch.advance()
    #expect(voided.answer(to: asked) == nil)
    // An answer that was decided before the revocation is kept after it.
    voided.keep(
      [1], of: Admission(), body: Array("{}".utf8), recordedAs: [:], to: asked, for: .seconds(30), epoch: 5)
    #expect(voided.answer(to: asked) == nil)
  }

  @Test("are not remembered when they are large")
  func large() throws { #expect(try question { $0.rawBody = Data(count: 8192) } == nil) }

  @Test("are counted, and told of once")
  func count() {
    let call = RepeatedCall([:])
    #expect(call.use() && !call.use() && !call.use())
    #expect(call.takeUses() == 3 && call.takeUses() == 0)
    #expect(call.use())
  }
}
