import AgentProtocols
import CASACore
import Enforcement
import NIOCore
import NIOHPACK

/// Writes an answer of the plain endpoint: the verdict and everything about it in header fields.
enum PlainAnswer {
  /// For how long a decision holds for equal requests, and what each of them is recorded as.
  struct Reuse: Sendable {
    let milliseconds: Int
    /// One line of JSON.
    let record: String
    /// Where in the body the id stands that equal requests may differ in.
    var id: JSONRPCIDLocation?
  }

  /// - Parameters:
  ///   - facts: for the dynamic module; JSON.
  ///   - epoch: as it was before the decision was begun.
  static func admitted(
    _ admission: Admission, reuse: Reuse? = nil, facts: [UInt8] = [], epoch: UInt64
  ) -> HTTP2Answer {
    var head = head(200, epoch: epoch)
    head.add(name: "x-casa-verdict", value: "admit")
    for header in admission.setHeaders { secret("x-casa-set-" + header.name, header.value, in: &head) }
    if !admission.removeHeaders.isEmpty {
      head.add(name: "x-casa-remove", value: admission.removeHeaders.joined(separator: ","))
    }
    if let token = admission.answerToken { secret("x-casa-answer-token", token, in: &head) }
    if let offer = admission.offer { head.add(name: "x-casa-offer", value: offer.text) }
    if let id = admission.decisionID { head.add(name: "x-casa-decision", value: id) }
    if let reuse {
      head.add(name: "x-casa-reuse-ms", value: String(reuse.milliseconds))
      head.add(name: "x-casa-record", value: reuse.record, indexing: .nonIndexable)
      if let id = reuse.id {
        head.add(name: "x-casa-id-offset", value: String(id.offset))
        head.add(name: "x-casa-id-length", value: String(id.length))
      }
    }
    return HTTP2Answer(head: head, body: facts.isEmpty ? nil : ByteBuffer(bytes: facts))
  }

  static func refused(_ refusal: Refusal, record: RequestRecord?, epoch: UInt64) -> HTTP2Answer {
    let fields = RefusalFields(refusal, record: record)
    var head = head(200, epoch: epoch)
    head.add(name: "x-casa-verdict", value: "refuse")
    head.add(name: "x-casa-status", value: "403")
    for header in fields.headers { head.add(name: header.name, value: header.value) }
    return HTTP2Answer(head: head, body: ByteBuffer(string: fields.body))
  }

  /// An answer that admits nothing and says no more than its status.
  static func bare(_ status: Int, epoch: UInt64) -> HTTP2Answer { HTTP2Answer(head: head(status, epoch: epoch)) }

  private static func head(_ status: Int, epoch: UInt64) -> HPACKHeaders {
    [":status": String(status), "x-casa-epoch": String(epoch)]
  }

  /// A value that must not be compressed together with others (RFC 7541 section 7.1.3).
  private static func secret(_ name: String, _ value: String, in head: inout HPACKHeaders) {
    head.add(name: name, value: value, indexing: .neverIndexed)
  }
}
