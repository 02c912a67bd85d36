import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Envoy's own administration, over its Unix socket.
public struct EnvoyAdministration: Sendable {
  /// More of an answer is not read.
  private static let maximumBytes = 8 << 20
  private static let timeout = TimeAmount.seconds(2)

  private let socket: String

  /// - Parameter socket: the path of the socket.
  public init(socket: String) { self.socket = socket }

  /// Those statistics that were ever counted, in Prometheus' format; nil when Envoy doesn't answer in time, or too
  /// much.
  public func statistics() async -> String? {
    guard let url = URL(httpURLWithSocketPath: socket, uri: "/stats/prometheus?usedonly") else { return nil }
    var request = HTTPClientRequest(url: url.absoluteString)
    // Of a socket's path the client makes a `Host` that Envoy refuses.
    request.headers.add(name: "host", value: "localhost")
    guard let response = try? await HTTPClient.shared.execute(request, timeout: Self.timeout), response.status == .ok,
      let body = try? await response.body.collect(upTo: Self.maximumBytes)
    else { return nil }
    return String(buffer: body)
  }
}
