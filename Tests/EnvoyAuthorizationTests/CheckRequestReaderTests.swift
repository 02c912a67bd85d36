import CASACore
import Enforcement
import Foundation
import SwiftProtobuf
import Testing

@testable import EnvoyAuthorization

private typealias CheckRequest = Envoy_Service_Auth_V3_CheckRequest

/// Numbers that are the same in each run.
private struct Sequence: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ state >> 31
  }
}

private func text(_ generator: inout Sequence) -> String {
  let letters = Array("abcdefghijklmnop-:/é\u{212A} \t\r\u{0}🙂%")
  return String(
    (0..<Int.random(in: 0...40, using: &generator)).compactMap { _ in letters.randomElement(using: &generator) })
}

private func question(_ generator: inout Sequence) -> CheckRequest {
  var question = CheckRequest()
  question.attributes.source.principal = text(&generator)
  question.attributes.contextExtensions = [
    "casa.listener": text(&generator), "casa.direction": text(&generator), text(&generator): text(&generator),
  ]
  var http = Envoy_Service_Auth_V3_AttributeContext.HttpRequest()
  http.id = text(&generator)
  http.method = text(&generator)
  http.path = text(&generator)
  http.host = text(&generator)
  http.size = Int64.random(in: -1...(1 << 40), using: &generator)
  http.headers = [text(&generator): text(&generator)]
  if Bool.random(using: &generator) { http.headers["x-envoy-auth-partial-body"] = text(&generator) }
  for _ in 0..<Int.random(in: 0...30, using: &generator) {
    var header = Envoy_Config_Core_V3_HeaderValue()
    header.key = text(&generator)
    if Bool.random(using: &generator) {
      header.value = text(&generator)
    } else {
      header.rawValue = Data((0..<Int.random(in: 0...300, using: &generator)).map { UInt8(truncatingIfNeeded: $0) })
    }
    http.headerMap.headers.append(header)
  }
  let body = Data((0..<Int.random(in: 0...3000, using: &generator)).map { UInt8(truncatingIfNeeded: $0 &* 7) })
  if Bool.random(using: &generator) { http.rawBody = body } else { http.body = text(&generator) }
  question.attributes.request.http = http
  return question
}

private func bytes(_ message: some Message) throws -> [UInt8] { try message.serializedBytes() }

private func isRefused(_ bytes: [UInt8]) -> Bool {
  do {
    _ = try CheckRequestReader(parsing: bytes)
    return false
  } catch {
    return true
  }
}

@Suite("The reader of CheckRequest")
struct CheckRequestReaderTests {
  @Test("reads what SwiftProtobuf writes as SwiftProtobuf does", arguments: 0..<200)
  func agrees(seed: UInt64) throws {
    var generator = Sequence(state: seed)
    let question = question(&generator)
    let read = try CheckRequestReader(parsing: bytes(question))
    let http = question.attributes.request.http
    #expect(read.listener == question.attributes.contextExtensions["casa.listener"])
    #expect(read.direction == question.attributes.contextExtensions["casa.direction"])
    #expect(Array(read.method) == Array(http.method.utf8))
    #expect(Array(read.target) == Array(http.path.utf8))
    #expect(Array(read.host) == Array(http.host.utf8))
    #expect(Array(read.body) == (http.rawBody.isEmpty ? Array(http.body.utf8) : Array(http.rawBody)))
    #expect(read.partialBody.map(Array.init) == http.headers["x-envoy-auth-partial-body"].map { Array($0.utf8) })
    #expect(read.fields.map { Array($0.name) } == http.headerMap.headers.map { Array($0.key.utf8) })
    #expect(
      read.fields.map { Array($0.value) }
        == http.headerMap.headers.map { $0.rawValue.isEmpty ? Array($0.value.utf8) : Array($0.rawValue) })
  }

  @Test("refuses every part of a message, and whatever its bytes are changed to never crashes it")
  func truncated() throws {
    var generator = Sequence(state: 7)
    let whole = try bytes(question(&generator))
    for length in 0..<whole.count { #expect(isRefused(Array(whole[..<length])), "\(length)") }
    for _ in 0..<5000 {
      var changed = whole
      for _ in 0..<3 {
        changed[Int.random(in: changed.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = try? CheckRequestReader(parsing: changed)
    }
  }

  @Test(
    "refuses odd input",
    arguments: [
      [], [0x0A], [0x0A, 0x00], [0x08, 0x00], [0x0A, 0x02, 0x22, 0x00],
      // A field without a number, groups, a length beyond the end, a number that does not end.
      [0x02, 0x00], [0x0B, 0x0C], [0x0E], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
      [0x0A, 0x7F], Array(repeating: 0xFF, count: 20),
      // `attributes` twice, `http` twice, a path twice, a path that is a number, a header that is.
      [0x0A, 0x04, 0x22, 0x02, 0x12, 0x00, 0x0A, 0x00], [0x0A, 0x06, 0x22, 0x04, 0x12, 0x00, 0x12, 0x00],
      [0x0A, 0x08, 0x22, 0x06, 0x12, 0x04, 0x22, 0x00, 0x22, 0x00],
      [0x0A, 0x06, 0x22, 0x04, 0x12, 0x02, 0x20, 0x00],
      [0x0A, 0x08, 0x22, 0x06, 0x12, 0x04, 0x6A, 0x02, 0x08, 0x00],
    ] as [[UInt8]])
  func odd(bytes: [UInt8]) { #expect(isRefused(bytes)) }

  @Test("takes the smallest question there is, and skips what it does not know")
  func smallest() throws {
    let read = try CheckRequestReader(parsing: [0x0A, 0x04, 0x22, 0x02, 0x12, 0x00])
    #expect(read.fields.isEmpty && read.body.isEmpty && read.listener == nil && read.partialBody == nil)
    // Fields 99 of each form.
    let unknown: [UInt8] = [0x98, 0x06, 0x01, 0x99, 0x06] + Array(repeating: 0, count: 8) + [0x9A, 0x06, 0x01, 0x00]
    _ = try CheckRequestReader(parsing: unknown + [0x0A, 0x04, 0x22, 0x02, 0x12, 0x00])
  }

  @Test("refuses two values of one header, two bodies, and a listener that is named twice")
  func twice() throws {
    var generator = Sequence(state: 1)
    var question = question(&generator)
    question.attributes.request.http.rawBody = Data("a".utf8)
    question.attributes.request.http.body = "b"
    #expect(isRefused(try bytes(question)))
    question.attributes.request.http.body = ""
    #expect(!isRefused(try bytes(question)))
    var header = Envoy_Config_Core_V3_HeaderValue()
    (header.key, header.value, header.rawValue) = ("a", "1", Data("2".utf8))
    question.attributes.request.http.headerMap.headers = [header]
    #expect(isRefused(try bytes(question)))
    var other = CheckRequest()
    other.attributes.contextExtensions = ["casa.listener": "egress-0"]
    // An attribute's bytes twice within one message: each extension stands twice.
    let inner = Array(try bytes(other.attributes))
    let http: [UInt8] = [0x22, 0x02, 0x12, 0x00]
    let doubled = inner + inner + http
    #expect(isRefused([0x0A, UInt8(doubled.count)] + doubled))
    #expect(!isRefused([0x0A, UInt8(inner.count + http.count)] + inner + http))
  }
}

@Suite("The writer of CheckResponse")
struct CheckResponseTests {
  typealias Response = Envoy_Service_Auth_V3_CheckResponse

  @Test("writes an admission as SwiftProtobuf reads it")
  func admitted() throws {
    var admission = Admission()
    let long = String(repeating: "é", count: 9000)
    admission.setHeaders = [("authorization", "Bearer " + long), ("traceparent", "")]
    admission.removeHeaders = ["a", "b"]
    admission.answerToken = long
    admission.decisionID = "dec_1"
    let read = try Response(serializedBytes: CheckResponse.admitted(admission))
    #expect(read.hasStatus && read.status.code == 0)
    #expect(read.okResponse.headers.map(\.header.key) == ["authorization", "traceparent"])
    #expect(read.okResponse.headers.map(\.header.value) == ["Bearer " + long, ""])
    #expect(read.okResponse.headers.allSatisfy { $0.appendAction == .overwriteIfExistsOrAdd })
    #expect(read.okResponse.headersToRemove == ["a", "b"])
    #expect(read.dynamicMetadata.fields.mapValues(\.stringValue) == ["answer_token": long, "decision": "dec_1"])
    let bare = try Response(serializedBytes: CheckResponse.admitted(Admission()))
    #expect(bare.hasStatus && !bare.hasDynamicMetadata)
    guard case .okResponse = bare.httpResponse else {
      Issue.record("an admission without changes must be one all the same")
      return
    }
  }

  @Test("writes a refusal as SwiftProtobuf reads it")
  func denied() throws {
    let refusal = Refusal(.tokenInactive, "why", decisionID: "dec_2")
    let record = RequestRecord(direction: .ingress, destination: "bank")
    let read = try Response(serializedBytes: CheckResponse.denied(refusal, record: record))
    #expect(read.status.code == 7)
    #expect(read.deniedResponse.status.code == .forbidden)
    #expect(read.deniedResponse.body == RefusalBody(refusal, record: record).text)
    let headers = Dictionary(
      uniqueKeysWithValues: read.deniedResponse.headers.map { ($0.header.key, $0.header.value) })
    #expect(
      headers == [
        "content-type": "application/problem+json", "x-casa-decision": "dec_2",
        "www-authenticate": #"Bearer realm="casa", error="invalid_token""#,
      ])
    let outward = RequestRecord(direction: .egress, destination: "bank")
    #expect(
      try Response(serializedBytes: CheckResponse.denied(refusal, record: outward)).deniedResponse.headers.map(
        \.header.key)
        == ["content-type", "x-casa-decision"])
  }
}
