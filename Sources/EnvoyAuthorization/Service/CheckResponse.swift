import CASACore
import Enforcement

/// Writes Envoy's `CheckResponse`.
enum CheckResponse {
  private static let permissionDenied: UInt64 = 7
  private static let forbidden: UInt64 = 403
  private static let overwriteIfExistsOrAdd: UInt64 = 2

  static func admitted(_ admission: Admission) -> [UInt8] {
    var answer = ProtobufWriter()
    answer.write(1) { _ in }  // status: OK
    answer.write(3) { ok in
      for header in admission.setHeaders { write(header, as: 2, to: &ok) }
      for name in admission.removeHeaders { ok.write(5, text: name) }
    }
    let metadata = [
      ("decision", admission.decisionID), ("answer_token", admission.answerToken), ("offer", admission.offer?.text),
    ]
    if metadata.contains(where: { $0.1 != nil }) {
      answer.write(4) { fields in
        for case (let name, let text?) in metadata {
          fields.write(1) { entry in
            entry.write(1, text: name)
            entry.write(2) { $0.write(3, text: text) }
          }
        }
      }
    }
    return answer.bytes
  }

  static func denied(_ refusal: Refusal, record: RequestRecord?) -> [UInt8] {
    let answerFields = RefusalFields(refusal, record: record)
    var answer = ProtobufWriter()
    answer.write(1) { $0.write(1, number: permissionDenied) }
    answer.write(2) { denied in
      denied.write(1) { $0.write(1, number: forbidden) }
      for header in answerFields.headers { write(header, as: 2, to: &denied) }
      denied.write(3, text: answerFields.body)
    }
    return answer.bytes
  }

  private static func write(
    _ header: (name: String, value: String), as field: UInt64, to message: inout ProtobufWriter
  ) {
    message.write(field) { option in
      option.write(1) {
        $0.write(1, text: header.name)
        $0.write(2, text: header.value)
      }
      option.write(3, number: overwriteIfExistsOrAdd)
    }
  }
}
