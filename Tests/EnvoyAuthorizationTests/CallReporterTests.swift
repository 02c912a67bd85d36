import AsyncHTTPClient
import CASACore
import Logging
import Testing

@testable import EnvoyAuthorization

@Suite("The record of requests on its way to the runtime")
struct CallReporterTests {
  private let reporter = CallReporter(
    runtime: RuntimeClient(
      http: .shared, baseURL: "http://127.0.0.1:1", authorization: "Basic none", clock: .system,
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })),
    logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))

  @Test("holds repetitions of an event as one, and each single request by itself")
  func repetitions() {
    for _ in 0..<3 { reporter.report(["kind": "call_admitted", "method": "tools/list"], count: 2) }
    #expect(reporter.waiting == 1)
    reporter.report(["kind": "call_admitted", "method": "ping"], count: 2)
    #expect(reporter.waiting == 2)
    for _ in 0..<3 { reporter.report(["kind": "call_admitted", "method": "ping"]) }
    #expect(reporter.waiting == 5)
    #expect(reporter.lost == 0)
  }
}
