import HTTPTypes
import Hummingbird
import Logging

/// `/healthz`, `/readyz` and `/metrics` of the controller.
struct ControllerStatusServer: Sendable {
  let host: String
  let port: Int
  let logger: Logger
  let metrics: @Sendable () -> String

  /// Until the task is cancelled.
  func run() async throws {
    let router = Router()
    router.get("healthz") { _, _ in "ok\n" }
    // A replica that waits to lead is as ready as it can be.
    router.get("readyz") { _, _ in "ok\n" }
    router.get("metrics") { [metrics] _, _ in
      Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(byteBuffer: ByteBuffer(string: metrics())))
    }
    var quiet = logger
    quiet.logLevel = .warning
    let application = Application(
      router: router, configuration: ApplicationConfiguration(address: .hostname(host, port: port)), logger: quiet)
    try await application.run()
  }
}
