import AgentProtocols
import CASACore
import Enforcement
import Foundation
import Logging
import NIOHPACK
import SwiftProtobuf

/// Envoy's `ExternalProcessor/Process` on the way back from the LLM: records which calls the answer selects before
/// the agent gets it. Whatever goes wrong here ends the stream, and Envoy then ends the request.
struct LLMAnswerService: Sendable {
  typealias Question = Envoy_Service_ExtProc_V3_ProcessingRequest
  typealias Answer = Envoy_Service_ExtProc_V3_ProcessingResponse

  static let path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"

  let sidecars: SidecarDirectory
  let logger: Logger

  func exchange(_ head: HPACKHeaders) -> HTTP2Exchange {
    guard let workload = sidecars.workload(for: head) else {
      return .refusal(GRPCStatus(.permissionDenied, "unknown sidecar").trailersOnly)
    }
    return .messages(LLMMessages(exchange: LLMExchange(workload: workload), logger: logger))
  }
}

/// The messages about one request to the LLM.
private struct LLMMessages: GRPCMessageExchange {
  var exchange: LLMExchange
  let logger: Logger

  mutating func answer(_ message: [UInt8]) async throws(GRPCStatus) -> [UInt8]? {
    do {
      let question = try LLMAnswerService.Question(serializedBytes: message)
      guard let answer = try await exchange.answer(question) else { return nil }
      return try answer.serializedBytes()
    } catch let refusal as Refusal {
      logger.warning(
        "an LLM's answer was stopped",
        metadata: ["reason": "\(refusal.reason.rawValue)", "why": "\(refusal.explanation)"])
      guard exchange.headersAreHeld,
        let answer: [UInt8] = try? LLMAnswerService.Answer.refusing(refusal).serializedBytes()
      else { throw GRPCStatus(.aborted, refusal.explanation) }
      return answer
    } catch {
      throw GRPCStatus(.invalidArgument, "the message can't be read")
    }
  }
}

/// One request to the LLM, from the answer's first header to its last byte.
private struct LLMExchange {
  let workload: GuardedWorkload
  private var token: String?
  private var gate: LLMAnswerGate?
  /// Whether the answer's head has not left yet, so that another answer can stand in its place.
  private(set) var headersAreHeld = true

  init(workload: GuardedWorkload) { self.workload = workload }

  mutating func answer(_ question: LLMAnswerService.Question) async throws -> LLMAnswerService.Answer? {
    let fields = question.metadataContext.filterMetadata["envoy.filters.http.ext_authz"]?.fields
    if let token = fields?["llm_token"]?.stringValue, !token.isEmpty { self.token = token }
    var answer = LLMAnswerService.Answer()
    switch question.request {
    case .responseHeaders(let headers):
      try begin(headers)
      if headers.endOfStream {
        // An answer without a body selects nothing.
        _ = try await step([], isLast: true)
      }
      answer.responseHeaders = Envoy_Service_ExtProc_V3_HeadersResponse()
    case .responseBody(let body):
      let bytes = try await step(Array(body.body), isLast: body.endOfStream)
      headersAreHeld = false
      var mutation = Envoy_Service_ExtProc_V3_BodyMutation()
      if bytes.isEmpty { mutation.clearBody_p = true } else { mutation.body = Data(bytes) }
      answer.responseBody.response.bodyMutation = mutation
    case .responseTrailers:
      let bytes = try await step([], isLast: true)
      guard bytes.isEmpty else { throw Refusal(.llmResponseUnreadable, "the LLM's answer ends in trailers") }
      answer.responseTrailers = Envoy_Service_ExtProc_V3_TrailersResponse()
    default: return nil
    }
    return answer
  }

  private mutating func begin(_ message: Envoy_Service_ExtProc_V3_HttpHeaders) throws {
    func value(_ name: String) -> String? {
      message.headers.headers.first { $0.key.lowercased() == name }
        .map { $0.rawValue.isEmpty ? $0.value : String(decoding: $0.rawValue, as: UTF8.self) }
    }
    do {
      gate = try LLMAnswerGate(
        status: value(":status").flatMap { Int($0) } ?? 0, contentType: value("content-type") ?? "",
        contentEncoding: value("content-encoding"))
    } catch {
      throw Refusal(error)
    }
  }

  private mutating func step(_ bytes: [UInt8], isLast: Bool) async throws -> [UInt8] {
    let step: LLMAnswerGate.Step?
    do {
      step = try gate?.feed(bytes, isLast: isLast)
    } catch {
      throw Refusal(error)
    }
    switch step {
    case nil: throw Refusal(.llmResponseUnreadable, "the LLM's answer has no head")
    case .release(let bytes): return bytes
    case .record(let selections, let bytes):
      guard let token else {
        throw Refusal(.llmResponseUnreadable, "the proxy did not say for which session it asked the LLM")
      }
      try await workload.record(selections, evidence: token)
      return bytes
    }
  }
}

extension Envoy_Service_ExtProc_V3_ProcessingResponse {
  fileprivate static func refusing(_ refusal: Refusal) -> Self {
    var answer = Self()
    answer.immediateResponse.status.code = .badGateway
    answer.immediateResponse.body = Data(
      RefusalBody.text(refusal, record: RequestRecord(direction: EnforcementPoint.egress, destination: RequestRecord.llm)).utf8)
    var type = Envoy_Config_Core_V3_HeaderValueOption()
    type.header.key = "content-type"
    type.header.value = "application/json"
    type.appendAction = .overwriteIfExistsOrAdd
    answer.immediateResponse.headers.setHeaders = [type]
    return answer
  }
}
