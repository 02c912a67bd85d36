import AgentProtocols
import CASACore
import Enforcement
import Foundation
import Logging
import NIOHPACK
import SwiftProtobuf

/// Envoy's `ExternalProcessor/Process` on the way back from the LLM, of which it records which calls its answer selects
/// before the agent gets it, and from an MCP server: of the tools it lists only those are left that the session may
/// see, what a tool answers is reported before the agent gets it, and nothing passes that answers another request.
/// Whatever goes wrong here ends the stream, and Envoy then ends the request; only a tool's result leaves a refusal in
/// its place.
struct AnswerService: Sendable {
  typealias Question = Envoy_Service_ExtProc_V3_ProcessingRequest
  typealias Answer = Envoy_Service_ExtProc_V3_ProcessingResponse

  static let path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"

  let sidecars: SidecarDirectory
  let logger: Logger

  func exchange(_ head: HPACKHeaders) -> HTTP2Exchange {
    guard let workload = sidecars.workload(for: head) else {
      return .refusal(GRPCStatus(.permissionDenied, "unknown sidecar").trailersOnly)
    }
    return .messages(AnswerMessages(exchange: AnswerExchange(workload: workload, logger: logger), logger: logger))
  }
}

/// The messages about one answer.
private struct AnswerMessages: GRPCMessageExchange {
  var exchange: AnswerExchange
  let logger: Logger

  mutating func answer(_ message: [UInt8]) async throws(GRPCStatus) -> [UInt8]? {
    do {
      let question = try AnswerService.Question(serializedBytes: message)
      guard let answer = try await exchange.answer(question) else { return nil }
      return try answer.serializedBytes()
    } catch let refusal as Refusal {
      exchange.workload.metrics.countStopped(refusal.reason)
      logger.warning(
        "an answer was stopped",
        metadata: ["reason": "\(refusal.reason.rawValue)", "why": "\(refusal.explanation)"])
      guard exchange.headersAreHeld,
        let answer: [UInt8] = try? AnswerService.Answer.refusing(refusal, record: exchange.record).serializedBytes()
      else { throw GRPCStatus(.aborted, refusal.explanation) }
      return answer
    } catch {
      throw GRPCStatus(.invalidArgument, "the message can't be read")
    }
  }
}

/// One answer, from its first header to its last byte.
private struct AnswerExchange {
  private enum Reading {
    case llm(LLMAnswerGate)
    case message(MCPServerAnswer, Offer)
    case result(ToolCallAnswer)
    case card([UInt8], of: Name)
    /// What says nothing that anybody reads as an answer.
    case passing
  }

  let workload: GuardedWorkload
  let logger: Logger
  private var token: String?
  private var offer: Offer?
  private var reading: Reading?
  /// Whether the answer's head has not left yet, so that another answer can stand in its place.
  private(set) var headersAreHeld = true

  init(workload: GuardedWorkload, logger: Logger) {
    self.workload = workload
    self.logger = logger
  }

  /// The request that is answered, as far as a refusal in the answer's place depends on it.
  var record: RequestRecord {
    guard let offer, case .result(let id) = offer.kind else {
      return RequestRecord(direction: .egress, destination: RequestRecord.llm)
    }
    var record = RequestRecord(direction: .egress, destination: offer.app.text)
    (record.method, record.requestID, record.traceID) = ("tools/call", id, offer.trace)
    return record
  }

  mutating func answer(_ question: AnswerService.Question) async throws -> AnswerService.Answer? {
    let fields = question.metadataContext.filterMetadata["envoy.filters.http.ext_authz"]?.fields
    if let token = fields?["answer_token"]?.stringValue, !token.isEmpty { self.token = token }
    if let text = fields?["offer"]?.stringValue, !text.isEmpty {
      guard let offer = Offer(text) else {
        throw Refusal(.mcpResponseUnreadable, "the proxy did not say in words known here what the answer holds")
      }
      self.offer = offer
    }
    var answer = AnswerService.Answer()
    switch question.request {
    case .responseHeaders(let headers):
      do throws(Refusal) {
        try await begin(headers)
      } catch {
        reportIfResult(error)
        throw error
      }
      if headers.endOfStream {
        // An answer without a body selects and lists nothing.
        _ = try await step([], isLast: true)
      }
      answer.responseHeaders = Envoy_Service_ExtProc_V3_HeadersResponse()
      switch reading {
      case .message where !headers.endOfStream, .result where !headers.endOfStream:
        // What is left of it, or comes in its place, has another length.
        answer.responseHeaders.response.headerMutation.removeHeaders = ["content-length"]
      default: break
      }
    case .responseBody(let body):
      let bytes = try await step(Array(body.body), isLast: body.endOfStream)
      headersAreHeld = false
      var mutation = Envoy_Service_ExtProc_V3_BodyMutation()
      if bytes.isEmpty { mutation.clearBody_p = true } else { mutation.body = Data(bytes) }
      answer.responseBody.response.bodyMutation = mutation
    case .responseTrailers:
      let bytes = try await step([], isLast: true)
      guard bytes.isEmpty else { throw Refusal(.llmResponseUnreadable, "the answer ends in trailers") }
      answer.responseTrailers = Envoy_Service_ExtProc_V3_TrailersResponse()
    default: return nil
    }
    return answer
  }

  private mutating func begin(_ message: Envoy_Service_ExtProc_V3_HttpHeaders) async throws(Refusal) {
    func value(_ name: String) -> String? {
      message.headers.headers.first { haveSameBytes($0.key.lowercased(), name) }
        .map { $0.rawValue.isEmpty ? $0.value : String(decoding: $0.rawValue, as: UTF8.self) }
    }
    let status = value(":status").flatMap { Int($0) } ?? 0
    let (type, encoding) = (value("content-type") ?? "", value("content-encoding"))
    do {
      guard let offer else {
        reading = .llm(try LLMAnswerGate(status: status, contentType: type, contentEncoding: encoding))
        return
      }
      switch offer.kind {
      // Without a body nothing is said.
      case .result where message.endOfStream, .message where message.endOfStream: reading = .passing
      case .result(let id):
        reading = .result(
          try ToolCallAnswer(status: status, contentType: type, contentEncoding: encoding, requestID: id))
      case _ where !ContentEncoding.isIdentity(encoding):
        throw Refusal(.mcpResponseUnreadable, "the answer is compressed though nobody asked for it")
      case .tools(let id):
        let isFailure = !(200..<300).contains(status)
        let allowed = isFailure ? [:] : try await workload.offeredTools(offer)
        reading = .message(
          try MCPServerAnswer(
            status: status, contentType: type, to: .toolListing(allowed: allowed), requestID: id), offer)
      case .message(let id):
        reading = .message(
          try MCPServerAnswer(status: status, contentType: type, to: id == nil ? .nothing : .other, requestID: id),
          offer)
      case .card: reading = (200..<300).contains(status) ? .card([], of: offer.app) : .passing
      }
    } catch let violation as ProtocolViolation {
      throw Refusal(violation)
    } catch let refusal as Refusal {
      throw refusal
    } catch {
      throw Refusal(.mcpResponseUnreadable, "the answer can't be read")
    }
  }

  private mutating func step(_ bytes: [UInt8], isLast: Bool) async throws -> [UInt8] {
    do {
      switch reading {
      case nil: throw Refusal(.llmResponseUnreadable, "the answer has no head")
      case .passing: return bytes
      case .message(var message, let context):
        let known = message.withheld.count
        // Taken out, so that what it holds is not copied with each part of it.
        reading = nil
        let left = try message.feed(bytes, isLast: isLast)
        for withheld in message.withheld.dropFirst(known) { workload.report(withheld, from: context) }
        reading = .message(message, context)
        return left
      case .card(var held, let app):
        reading = nil
        held += bytes
        guard held.count <= AgentCard.limits.maximumBytes else {
          throw ProtocolViolation(.bodyTooLarge, "the agent's card is too large")
        }
        reading = .card(held, of: app)
        guard isLast else { return [] }
        try workload.check(try AgentCard(parsing: held), of: app)
        return held
      case .result(var answer):
        // Taken out, so that what it holds is not copied with each part of it.
        reading = nil
        let left = await step(bytes, of: &answer, isLast: isLast)
        reading = .result(answer)
        return left
      case .llm(var gate):
        reading = nil
        let step = try gate.feed(bytes, isLast: isLast)
        reading = .llm(gate)
        guard case .record(let selections, let released) = step else {
          if case .release(let bytes) = step { return bytes }
          return []
        }
        guard let token else {
          throw Refusal(.llmResponseUnreadable, "the proxy did not say for which session it asked the LLM")
        }
        try await workload.record(selections, evidence: token)
        return released
      }
    } catch let violation as ProtocolViolation {
      // Whatever came of it before: from here on nothing passes.
      reading = nil
      throw Refusal(violation)
    }
  }

  /// What of a tool's answer goes on: nothing that was not reported, and in its place a refusal.
  private func step(_ bytes: [UInt8], of answer: inout ToolCallAnswer, isLast: Bool) async -> [UInt8] {
    let refusal: Refusal
    do {
      switch try answer.feed(bytes, isLast: isLast) {
      case .release(let released): return released
      case .report(let content, let released):
        guard let token else {
          throw Refusal(.mcpResponseUnreadable, "the proxy did not say with which token the tool was called")
        }
        try await workload.record(content, evidence: token)
        return released
      }
    } catch let violation as ProtocolViolation {
      refusal = Refusal(violation)
    } catch let refused as Refusal {
      refusal = refused
    } catch {
      refusal = Refusal(.mcpResponseUnreadable, "the MCP server's answer can't be read")
    }
    workload.metrics.countStopped(refusal.reason)
    logger.warning(
      "a tool's result was stopped",
      metadata: ["reason": "\(refusal.reason.rawValue)", "why": "\(refusal.explanation)"])
    reportIfResult(refusal)
    return answer.end(with: RefusalBody(refusal, record: record).text)
  }

  private func reportIfResult(_ refusal: Refusal) {
    guard let offer, case .result = offer.kind else { return }
    workload.report(refusal, of: record, evidence: token)
  }
}

extension Envoy_Service_ExtProc_V3_ProcessingResponse {
  fileprivate static func refusing(_ refusal: Refusal, record: RequestRecord) -> Self {
    var answer = Self()
    answer.immediateResponse.status.code = .badGateway
    let body = RefusalBody(refusal, record: record, status: .badGateway)
    answer.immediateResponse.body = Data(body.text.utf8)
    var type = Envoy_Config_Core_V3_HeaderValueOption()
    type.header.key = "content-type"
    type.header.value = body.contentType
    type.appendAction = .overwriteIfExistsOrAdd
    answer.immediateResponse.headers.setHeaders = [type]
    return answer
  }
}
