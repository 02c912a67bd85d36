import AsyncHTTPClient
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Brings the spool's reports to the runtime, at least once each, in their order.
struct FlowDelivery: Sendable {
  /// Where and as whom.
  struct Destination: Sendable {
    /// Without a slash at its end.
    let baseURL: String
    /// The value of the header `Authorization`.
    let authorization: String
  }

  private static let timeout = TimeAmount.seconds(10)
  /// Of a token seen at a wrong place the runtime must know within a second.
  private static let pause = Duration.milliseconds(50)
  private static let longestPause = Duration.seconds(30)

  let spool: FlowSpool
  let destination: Destination
  let http: HTTPClient
  let logger: Logger
  let delivered: DeliveredCount

  /// Until it is cancelled.
  func run() async {
    var pause = Self.pause
    var isAway = false
    while !Task.isCancelled {
      do {
        let batch = try spool.nextBatch()
        if !batch.reports.isEmpty {
          try await deliverAll(batch.reports)
          try spool.acknowledge(batch)
          delivered.add(batch.reports.count)
          if isAway { logger.notice("the runtime takes reports again") }
          (pause, isAway) = (Self.pause, false)
          continue
        }
        pause = Self.pause
      } catch {
        if !isAway { logger.warning("reports stay in the spool: \(error)") }
        isAway = true
        pause = min(pause * 2, Self.longestPause)
      }
      try? await Task.sleep(for: pause)
    }
  }

  private struct Refused: Error, CustomStringConvertible {
    let status: UInt
    let description: String
  }

  /// One report that the runtime does not understand must not hold up all others for ever.
  private func deliverAll(_ reports: [String]) async throws {
    do {
      try await deliver(reports)
    } catch let refused as Refused where refused.status == 400 {
      guard reports.count > 1 else {
        logger.error("the runtime can't read a report, which is given up: \(refused)")
        return
      }
      for report in reports { try await deliverAll([report]) }
    }
  }

  private func deliver(_ reports: [String]) async throws {
    var request = HTTPClientRequest(url: destination.baseURL + "/trace/events")
    request.method = .POST
    request.headers.add(name: "Authorization", value: destination.authorization)
    request.headers.add(name: "Content-Type", value: "application/json")
    request.body = .bytes(ByteBuffer(string: "{\"events\":[\(reports.joined(separator: ","))]}"))
    let response = try await http.execute(request, timeout: Self.timeout)
    _ = try await response.body.collect(upTo: 1 << 16)
    guard response.status.code / 100 == 2 else {
      throw Refused(
        status: response.status.code,
        description: "\(destination.baseURL) answered \(response.status.code) to reports of flows; expected 2xx")
    }
  }
}

/// How many reports the runtime has since the guard was started.
final class DeliveredCount: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .relaxed) }
  func add(_ reports: Int) { count.add(reports, ordering: .relaxed) }
}
