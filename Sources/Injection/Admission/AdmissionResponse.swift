import AgentProtocols
public import CASACore

/// What is answered to an `AdmissionReview`.
public struct AdmissionResponse: Sendable, Hashable {
  public enum Outcome: Sendable, Hashable {
    /// It may be, once the patch is applied; an empty patch changes nothing.
    case allowed(patch: [JSONPatchOperation])
    case refused(AdmissionRefusal)
  }

  public let uid: String
  public let outcome: Outcome

  public init(uid: String, _ outcome: Outcome) {
    self.uid = uid
    self.outcome = outcome
  }

  public var isAllowed: Bool {
    guard case .allowed = outcome else { return false }
    return true
  }

  /// The whole `AdmissionReview` that is sent back.
  public var json: JSONValue {
    var response: [String: JSONValue] = ["uid": .string(uid), "allowed": .bool(isAllowed)]
    switch outcome {
    case .allowed(let patch):
      if !patch.isEmpty {
        let bytes = JSONValue.array(patch.map(\.json)).canonicalBytes
        response["patchType"] = "JSONPatch"
        response["patch"] = .string(Base64.encode(bytes))
      }
    case .refused(let refusal):
      response["status"] = [
        "status": "Failure", "code": .number(Double(refusal.code)),
        "reason": refusal.code == 400 ? "BadRequest" : "Forbidden",
        "message": .string("CASA: \(refusal)"),
      ]
    }
    return ["apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": .object(response)]
  }
}
