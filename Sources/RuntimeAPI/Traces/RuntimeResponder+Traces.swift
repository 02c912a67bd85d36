import AgentProtocols
import CASACore
import HTTPTypes
import Hummingbird
import NIOCore
import Storage
import TokenService
import Traces

/// What readers of traces ask.
extension RuntimeResponder {
  func traceAnswer(to request: Request, route: Route) async throws -> Answer {
    let access = try traces.access(request.headers, host: request.head.authority)
    let parameters = try query(request)
    switch route {
    case .traceEvents:
      let query = try TraceQuery(parameters, known: TraceReader.eventParameters)
      let (events, next) = try await reader.events(query, access)
      return Answer(.ok, json: ["events": .array(events.map(\.json)), "next_after": .number(Double(next))]).unstored()
    case .traceSessions:
      let query = try TraceQuery(parameters, known: TraceReader.sessionParameters, limit: 50)
      return Answer(.ok, json: try await reader.sessions(query, access)).unstored()
    case .traceSession(let id):
      guard let session = try await reader.session(id, access) else {
        throw Refused(.notFound, "no session \(id) that you may read is known (a new one takes a moment)")
      }
      return Answer(.ok, json: session).unstored()
    case .traceAlerts:
      let query = try TraceQuery(parameters, known: TraceReader.alertParameters, limit: 50)
      return Answer(.ok, json: try await reader.alerts(query, access)).unstored()
    case .traceStatistics:
      let query = try TraceQuery(parameters, known: TraceReader.statisticsParameters)
      return Answer(.ok, json: try await reader.statistics(query, access, now: server.now)).unstored()
    case .traceGraph:
      let query = try TraceQuery(parameters, known: TraceReader.statisticsParameters)
      return Answer(.ok, json: try await reader.graph(query, access, now: server.now)).unstored()
    case .traceSearch:
      guard parameters.keys.allSatisfy({ $0 == "q" }), let text = parameters["q"] else {
        throw InvalidField("q", expected: "what to look for: an id, a hash, a name or words of a prompt")
      }
      return Answer(.ok, json: try await reader.search(text, access)).unstored()
    case .traceExport: return try export(parameters, access, whileGiven: right(to: access, of: request))
    default: return try await live(request, parameters, access, whileGiven: right(to: access, of: request))
    }
  }

  /// Whether what the request came with still gives the same right: a reader may be deleted, or a cookie's time be
  /// over, while an answer goes on.
  private func right(to access: ReadAccess, of request: Request) -> @Sendable () -> Bool {
    let (traces, headers, host) = (traces, request.headers, request.head.authority)
    return { (try? traces.access(headers, host: host)) == access }
  }

  /// All events there are now, one JSON object a line, as they are read.
  private func export(
    _ parameters: [String: String], _ access: ReadAccess, whileGiven isGiven: @escaping @Sendable () -> Bool
  ) throws -> Answer {
    let start = try TraceQuery(
      parameters, known: TraceReader.eventParameters.subtracting(["limit"]), limit: TraceQuery.maximumLimit)
    let reader = reader
    return Answer(stream: "application/jsonl") { writer in
      var query = start
      let end = try await reader.lastSequence()
      while isGiven() {
        let (events, next) = try await reader.events(query, access)
        var lines = ByteBuffer()
        for event in events where event.sequence <= end {
          lines.writeBytes(event.json.canonicalBytes)
          lines.writeInteger(UInt8(ascii: "\n"))
        }
        if lines.readableBytes > 0 { try await writer.write(lines) }
        guard next > query.after ?? 0, next < end else { return }
        query.after = next
      }
    }
  }

  /// Server-sent events (WHATWG HTML, section 9.2): what comes from now on, or after `Last-Event-ID`.
  private func live(
    _ request: Request, _ parameters: [String: String], _ access: ReadAccess,
    whileGiven isGiven: @escaping @Sendable () -> Bool
  ) async throws -> Answer {
    var known = TraceReader.eventParameters
    known.remove("limit")
    var query = try TraceQuery(parameters, known: known, limit: 500)
    if let text = request.headers[.lastEventID] {
      guard let place = Int64(text), (0...9_007_199_254_740_991).contains(place) else {
        throw InvalidField("Last-Event-ID", expected: "the id of an event")
      }
      query.after = place
    }
    if query.after == nil { query.after = try await reader.lastSequence() }
    let start = query
    // So that whatever stands between doesn't take the connection for idle.
    let heartbeat = Duration.seconds(15)
    let (reader, pulse, isReady) = (reader, pulse, isReady)
    guard await pulse.open() else {
      throw Refused(.serviceUnavailable, "\(TracePulse.maximumStreams) live streams are open; close one or try later")
    }
    let permit = StreamPermit(pulse: pulse)
    var answer = Answer(stream: "text/event-stream") { writer in
      defer { withExtendedLifetime(permit) {} }
      var query = start
      var writtenAt = ContinuousClock.now
      try await writer.write(ByteBuffer(string: "retry: 1000\n\n"))
      while isReady(), isGiven() {
        if try await pulse.lastSequence() > query.after ?? 0 {
          let (events, next) = try await reader.events(query, access)
          var text = ByteBuffer()
          for event in events {
            text.writeString("id: \(event.sequence)\nevent: trace\ndata: ")
            text.writeBytes(event.json.canonicalBytes)
            text.writeString("\n\n")
          }
          query.after = next
          if text.readableBytes > 0 {
            writtenAt = .now
            try await writer.write(text)
            continue
          }
        }
        if ContinuousClock.now - writtenAt > heartbeat {
          writtenAt = .now
          try await writer.write(ByteBuffer(string: ": \n\n"))
        }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
    answer.headers[HTTPField.Name("x-accel-buffering")!] = "no"  // swift-format-ignore: token characters
    return answer
  }
}

/// Counts an open stream until it has ended, or was never begun.
private final class StreamPermit: Sendable {
  private let pulse: TracePulse

  init(pulse: TracePulse) { self.pulse = pulse }

  deinit {
    let pulse = pulse
    Task { await pulse.close() }
  }
}

extension HTTPField.Name {
  static let lastEventID = HTTPField.Name("last-event-id")!  // swift-format-ignore: a literal of token characters
}
