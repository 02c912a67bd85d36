import CASACore
import CustomResources

/// What an object's status says: a pure function of what came of it and of what the status said before.
struct ObjectStatus: Sendable, Hashable {
  enum Phase: String, Sendable, Hashable {
    case pending = "Pending"
    case active = "Active"
    case failed = "Failed"
  }

  var phase: Phase
  /// nil for a policy.
  var appsReady: Int?
  /// What a system's apps are at the runtime, so that nodes book flows on the right ones; nil to leave what is there.
  /// The status is the controller's to write, unlike an object's annotations.
  var appIDs: [Name: AppID]?
  var message: String
  /// Why the object is not in force; nil when it is.
  var notReady: ResourceProblem.Reason?
  /// What keeps parts of it from working; nil when nothing does.
  var degraded: ResourceProblem?

  static func failed(_ problem: ResourceProblem, appsReady: Int? = nil) -> ObjectStatus {
    ObjectStatus(phase: .failed, appsReady: appsReady, message: problem.message, notReady: problem.reason)
  }

  /// The status to be written, or nil when the one there says the same already.
  /// - Parameters:
  ///   - now: RFC 3339, whole seconds.
  ///   - generation: of the object that it speaks of.
  func json(replacing old: JSONValue?, generation: Int64?, now: String) -> JSONValue? {
    let oldConditions = old?["conditions"]?.array ?? []
    func condition(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) -> JSONValue {
      let status: JSONValue = isTrue ? "True" : "False"
      let before = oldConditions.first { $0["type"]?.string == type }
      var members: [String: JSONValue] = [
        "type": .string(type), "status": status, "reason": .string(reason), "message": .string(message),
        "lastTransitionTime": before.flatMap { $0["status"] == status ? $0["lastTransitionTime"] : nil }
          ?? .string(now),
      ]
      members["observedGeneration"] = generation.map { .number(Double($0)) }
      return .object(members)
    }
    var members: [String: JSONValue] = [
      "phase": .string(phase.rawValue), "message": .string(message),
      "conditions": [
        condition(
          "Ready", phase == .active, notReady?.rawValue ?? (phase == .active ? "InForce" : "Progressing"), message),
        condition("Degraded", degraded != nil, degraded?.reason.rawValue ?? "AsExpected", degraded?.message ?? ""),
      ],
    ]
    members["appsReady"] = appsReady.map { .number(Double($0)) }
    members["apps"] = appIDs.map { ids in
      .array(
        ids.sorted { $0.key.text < $1.key.text }
          .map { ["name": .string($0.key.text), "id": .string($0.value.rawValue)] })
    }
    members["observedGeneration"] = generation.map { .number(Double($0)) }
    let says = JSONValue.object(members)
    if let old, Drift.isSatisfied(says, by: old) { return nil }
    members["lastSyncTime"] = .string(now)
    return .object(members)
  }
}
