import AgentProtocols
import CASACore
import Testing

@testable import Enforcement

@Suite("The answer to a refused request")
struct RefusalBodyTests {
  private let refusal = Refusal(.toolNotSelectedByLLM, "why", decisionID: "dec_1")

  private func body(_ record: RequestRecord?) throws -> JSONValue {
    try JSONValue(parsing: RefusalBody(refusal, record: record).text)
  }

  @Test("is JSON-RPC's error where a request has an id")
  func jsonRPC() throws {
    var record = RequestRecord(direction: .egress, destination: "weather")
    record.requestID = .integer(7)
    let body = try body(record)
    #expect(body["id"] == 7)
    #expect(body["error"]?["code"] == -32_003)
    #expect(
      body["error"]?["data"] == ["reason": "tool_not_selected_by_llm", "explanation": "why", "decision_id": "dec_1"])
  }

  @Test("says when to try again, in the body and in the header that clients read")
  func retryAfter() throws {
    let refusal = Refusal(.sessionRateLimited, "why", retryAfter: 4)
    let fields = RefusalFields(refusal, record: nil)
    #expect(fields.headers.contains { $0 == (name: "retry-after", value: "4") })
    #expect(try JSONValue(parsing: fields.body)["retry_after"] == 4)
    #expect(!RefusalFields(self.refusal, record: nil).headers.contains { $0.name == "retry-after" })
  }

  @Test("is OpenAI's error where the LLM was asked")
  func openAI() throws {
    let body = try body(RequestRecord(direction: .egress, destination: "llm"))
    #expect(body["error"]?["code"] == "tool_not_selected_by_llm")
    #expect(body["error"]?["type"] == "casa_refused")
  }

  @Test("is a problem elsewhere")
  func problem() throws {
    let body = try body(nil)
    #expect(body["status"] == 403)
    #expect(body["reason"] == "tool_not_selected_by_llm")
  }

  @Test("says of what media type it is, and with which status a problem is sent")
  func types() throws {
    var asked = RequestRecord(direction: .egress, destination: "weather")
    asked.requestID = .integer(7)
    let llm = RequestRecord(direction: .egress, destination: "llm")
    for (record, type) in [(asked, "application/json"), (llm, "application/json"), (nil, "application/problem+json")] {
      #expect(RefusalBody(refusal, record: record).contentType == type)
      #expect(RefusalFields(refusal, record: record).headers.first?.value == type)
    }
    let large = try JSONValue(parsing: RefusalBody(refusal, record: nil, status: .contentTooLarge).text)
    #expect(large["status"] == 413 && large["title"] == "Content Too Large")
  }
}
