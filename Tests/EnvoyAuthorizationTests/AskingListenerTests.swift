import Enforcement
import Foundation
import Sidecar
import SwiftProtobuf
import Testing

@testable import EnvoyAuthorization

@Suite("Which listener asks")
struct AskingListenerTests {
  private func listener(
    _ said: [String], extensions: [String: String] = [:], host: String = "bank:8101", upgrade: Bool = false
  ) throws -> Listener? {
    var message = Envoy_Service_Auth_V3_CheckRequest()
    message.attributes.contextExtensions = extensions
    var http = Envoy_Service_Auth_V3_AttributeContext.HttpRequest()
    (http.method, http.path, http.host) = ("POST", "/mcp", host)
    if upgrade {
      var header = Envoy_Config_Core_V3_HeaderValue()
      (header.key, header.value) = ("Upgrade", "websocket")
      http.headerMap.headers = [header]
    }
    message.attributes.request.http = http
    let question = try CheckRequestReader(parsing: message.serializedBytes())
    return try? CheckService.listener(of: question, from: said) {
      String(decoding: $0, as: UTF8.self) == "bank:8101" ? .egress(3) : nil
    }
  }

  @Test("is said by the route")
  func route() throws {
    #expect(try listener([], extensions: ["casa.listener": "egress-1", "casa.direction": "egress"]) == .egress(1))
    #expect(try listener([], extensions: ["casa.listener": "egress-1", "casa.direction": "ingress"]) == nil)
    #expect(try listener([]) == nil)
  }

  @Test("is said by the filter, which leaves the way out to the request's host")
  func filter() throws {
    #expect(try listener(["ingress"]) == .ingress)
    #expect(try listener(["egress"]) == .egress(3))
    #expect(try listener(["egress"], host: "mail:25") == nil)
    #expect(try listener(["egress-3"]) == nil)
  }

  @Test("is not said when both do, or one twice")
  func both() throws {
    let extensions = ["casa.listener": "egress-1", "casa.direction": "egress"]
    #expect(try listener(["ingress"], extensions: extensions) == nil)
    #expect(try listener(["ingress", "ingress"]) == nil)
  }

  @Test("of a mesh may not ask about a connection that changes its protocol")
  func upgrade() throws {
    #expect(try listener(["ingress"], upgrade: true) == nil)
    #expect(try listener(["egress"], upgrade: true) == nil)
  }
}
