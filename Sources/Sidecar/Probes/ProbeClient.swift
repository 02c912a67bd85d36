import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Asks the app of its own pod, at 127.0.0.1, as the kubelet would ask it from outside.
struct ProbeClient: Sendable {
  private static let host = "127.0.0.1"

  private let http: HTTPClient

  init() {
    var configuration = HTTPClient.Configuration(
      certificateVerification: .none, redirectConfiguration: .disallow,
      timeout: .init(connect: .seconds(Int64(WorkloadProbe.maximumTimeout))))
    configuration.httpVersion = .http1Only
    // Each probe tries a connection of its own: an app that takes no new ones is not well.
    configuration.connectionPool.idleTimeout = .milliseconds(1)
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  func shutdown() async { try? await http.shutdown() }

  /// Whether the app answered as it should, within the probe's time.
  func succeeds(_ probe: WorkloadProbe) async -> Bool {
    let time = TimeAmount.seconds(Int64(probe.timeoutSeconds))
    do {
      switch probe.question {
      case .http(let question): return try await answersWell(question, port: probe.port, within: time)
      case .tcp:
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
          .connectTimeout(time).connect(host: Self.host, port: probe.port).get()
        try? await channel.close()
        return true
      case .grpc(let service):
        return try await GRPCHealthQuestion(service: service).isServing(
          host: Self.host, port: probe.port, within: time)
      }
    } catch {
      return false
    }
  }

  /// Any status from 200 to 399, as for the kubelet. A redirection is not followed, and so counts as well.
  private func answersWell(
    _ question: WorkloadProbe.HTTPQuestion, port: Int, within time: TimeAmount
  ) async throws -> Bool {
    var request = HTTPClientRequest(
      url: "\(question.isTLS ? "https" : "http")://\(Self.host):\(port)\(question.path)")
    for header in question.headers { request.headers.add(name: header.name, value: header.value) }
    if !request.headers.contains(name: "user-agent") {
      request.headers.add(name: "user-agent", value: "kube-probe/casa")
    }
    if !request.headers.contains(name: "accept") { request.headers.add(name: "accept", value: "*/*") }
    request.headers.add(name: "connection", value: "close")
    // The body is not read.
    return (200..<400).contains(try await http.execute(request, timeout: time).status.code)
  }

  /// Whether Envoy takes requests.
  func envoyIsReady(adminSocket: String) async -> Bool {
    let socket = adminSocket.addingPercentEncoding()
    var request = HTTPClientRequest(url: "http+unix://\(socket)/ready")
    // A socket has no name, and Envoy takes no request without one.
    request.headers.add(name: "host", value: "envoy")
    return (try? await http.execute(request, timeout: .seconds(1)).status.code) == 200
  }

  /// Whether something takes connections at an address.
  func isListening(_ address: ListenAddress) async -> Bool {
    let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connectTimeout(.seconds(1))
    let channel: (any Channel)?
    switch address {
    case .unix(let path): channel = try? await bootstrap.connect(unixDomainSocketPath: path).get()
    case .tcp(let host, let port): channel = try? await bootstrap.connect(host: host, port: port).get()
    }
    guard let channel else { return false }
    try? await channel.close()
    return true
  }
}

extension String {
  /// Everything but letters and digits percent-encoded.
  fileprivate func addingPercentEncoding() -> String {
    utf8.map { byte in
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
      let digits = String(byte, radix: 16, uppercase: true)
      return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count == 1 ? "0" + digits : digits)
    }.joined()
  }
}
