internal import AgentProtocols
internal import AsyncHTTPClient
internal import CASACore
internal import Controller
internal import Foundation
internal import Logging

/// Reads commands as JSON lines, does each at once, and writes what comes of it as JSON lines:
/// `KubernetesProbe --kubeconfig PATH [--OPTION NUMBER]...`, or `--pod DIRECTORY --host HOST --port PORT`.
@main
enum KubernetesProbe {
  static func main() async throws {
    var options: [String: String] = [:]
    var arguments = CommandLine.arguments.dropFirst()
    while let name = arguments.popFirst() {
      guard name.hasPrefix("--"), let value = arguments.popFirst() else { fatalError("expected --OPTION VALUE") }
      options[String(name.dropFirst(2))] = value
    }
    func number(_ name: String) -> Int? { options[name].flatMap { Int($0) } }
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "kubernetes-probe")
    logger.logLevel = .debug

    let access: ClusterAccess
    let configuration: HTTPClient.Configuration
    do {
      access = try self.access(options)
      let idle = Duration.milliseconds(number("idle-ms") ?? 100_000)
      configuration = try access.httpClientConfiguration(idleTimeout: idle)
    } catch {
      write(["refused": .string(error.description)])
      return
    }
    var settings = KubernetesClient.Settings()
    settings.attempts = number("attempts") ?? settings.attempts
    settings.pageLimit = number("page") ?? settings.pageLimit
    settings.maximumPageBytes = number("page-bytes") ?? settings.maximumPageBytes
    settings.attemptTimeout = number("attempt-ms").map { .milliseconds($0) } ?? settings.attemptTimeout
    settings.totalTimeout = number("total-ms").map { .milliseconds($0) } ?? settings.totalTimeout
    settings.watchTimeout = number("watch-s").map { .seconds($0) } ?? settings.watchTimeout
    if let rate = number("rate") { settings.rate = RequestRate(perSecond: Double(rate), burst: 1) }
    settings.backoff = Backoff(shortest: .milliseconds(10), longest: .milliseconds(200))
    let http = HTTPClient(configuration: configuration)
    let client = KubernetesClient(access, http: http, settings: settings, logger: logger)
    let session = ProbeSession(client: client, logger: logger)
    write(["ready": .string(access.server)])
    await withDiscardingTaskGroup { group in
      for await line in lines() {
        let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 64, maximumNodes: 100_000)
        guard let command = try? JSONValue(parsing: line, limits: limits) else {
          write(["error": "expected a JSON object"])
          continue
        }
        if command["do"]?.string == "cancel" {
          session.cancel(command["of"]?.integer ?? 0)
        } else {
          group.addTask { await session.carryOut(command) }
        }
      }
      group.cancelAll()
    }
    try await http.shutdown()
  }

  private static func access(_ options: [String: String]) throws(ClusterAccessError) -> ClusterAccess {
    if let path = options["kubeconfig"] {
      return try ClusterAccess.kubeconfig(paths: [path], context: options["context"])
    }
    return try ClusterAccess.inPod(
      environment: [
        "KUBERNETES_SERVICE_HOST": options["host"] ?? "", "KUBERNETES_SERVICE_PORT": options["port"] ?? "",
      ], directory: options["pod"] ?? "")
  }

  /// Standard input's lines. A thread of its own reads them, since reading blocks.
  private static func lines() -> AsyncStream<[UInt8]> {
    AsyncStream { continuation in
      Thread.detachNewThread {
        while let line = readLine(strippingNewline: true) { continuation.yield(Array(line.utf8)) }
        continuation.finish()
      }
    }
  }

  private static let output = NSLock()

  static func write(_ value: JSONValue) {
    output.withLock { FileHandle.standardOutput.write(Data(value.canonicalBytes + [UInt8(ascii: "\n")])) }
  }
}
