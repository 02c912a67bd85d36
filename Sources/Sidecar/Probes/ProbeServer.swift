import HTTPServing
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
public import ServiceLifecycle
import Synchronization

/// Answers the kubelet's probes of a pod whose inbound traffic is intercepted: it asks the app from within, and tells a
/// status and nothing else. Whoever reaches the port learns no more than whether the app is well.
public struct ProbeServer: Service {
  private static let maximumConnections = 128
  private static let deadlines = ArrivalDeadlines(headers: .seconds(5), body: .seconds(1))

  private let address: (host: String, port: Int)
  private let probes: WorkloadProbes
  private let authorization: ListenAddress
  private let adminSocket: String
  private let logger: Logger

  /// - Parameters:
  ///   - authorization: where the authorization service listens, which the sidecar needs to be ready.
  ///   - adminSocket: that of the sidecar's Envoy.
  public init(
    host: String, port: Int, probes: WorkloadProbes, authorization: ListenAddress, adminSocket: String, logger: Logger
  ) {
    address = (host, port)
    self.probes = probes
    self.authorization = authorization
    self.adminSocket = adminSocket
    self.logger = logger
  }

  public func run() async throws {
    let client = ProbeClient()
    let asked = AskedProbes()
    let responder = CallbackResponder { (request: Request, _: BasicRequestContext) in
      Response(status: await status(of: request, client: client, asked: asked), headers: [.contentLength: "0"])
    }
    let application = Application(
      responder: responder,
      server: HTTPServerBuilder { responder in
        HTTP1Channel(
          responder: responder,
          configuration: .init(
            additionalChannelHandlers: [RequestArrival(deadlines: Self.deadlines)], idleTimeout: .seconds(30),
            httpDecoderConfiguration: .init(maxHeaderFieldSize: 4096, maxHeaderListSize: 8192, maxHeaderFieldCount: 50))
        )
      },
      configuration: ApplicationConfiguration(
        address: .hostname(address.host, port: address.port), serverName: nil,
        availableConnectionsDelegate: .maximum(Self.maximumConnections, logger: logger)),
      onServerRunning: { _ in
        logger.notice(
          "answering probes",
          metadata: ["address": "\(address.host):\(address.port)", "probes": "\(probes.probes.count)"])
      }, logger: logger)
    let result: Result<Void, any Error>
    do {
      try await application.run()
      result = .success(())
    } catch {
      result = .failure(error)
    }
    await client.shutdown()
    try result.get()
  }

  private func status(of request: Request, client: ProbeClient, asked: AskedProbes) async -> HTTPResponse.Status {
    guard request.method == .get else { return .methodNotAllowed }
    let path = request.head.path ?? "/"
    let isWell: Bool
    if path == WorkloadProbes.readinessPath {
      isWell = await asked.answer(to: path) {
        guard await client.isListening(authorization) else { return false }
        return await client.envoyIsReady(adminSocket: adminSocket)
      }
    } else if path.hasPrefix("/probe/"), let name = WorkloadProbes.Name(String(path.dropFirst(7))),
      let probe = probes[name]
    {
      isWell = await asked.answer(to: path) { await client.succeeds(probe) }
    } else {
      return .notFound
    }
    return isWell ? .ok : .serviceUnavailable
  }
}

/// Each question is under way at most once: who asks the same meanwhile gets the same answer. So the app is asked no
/// more often than it answers, however many ask.
private actor AskedProbes {
  private var underWay: [String: Task<Bool, Never>] = [:]

  func answer(to question: String, _ ask: @escaping @Sendable () async -> Bool) async -> Bool {
    if let task = underWay[question] { return await task.value }
    let task = Task { await ask() }
    underWay[question] = task
    let answer = await task.value
    underWay[question] = nil
    return answer
  }
}
