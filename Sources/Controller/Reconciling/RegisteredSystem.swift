import Administration
import CASACore

/// A MAS as the runtime has it.
struct RegisteredSystem: Sendable, Hashable {
  let id: MASID
  let name: String
  /// nil for one that was made by hand.
  let owner: String?
  let settings: JSONValue
  var apps: [String: RegisteredApp] = [:]

  struct RegisteredApp: Sendable, Hashable {
    let id: AppID
    let kind: String
    let settings: JSONValue
  }
}

extension RegisteredSystem {
  /// The members of a MAS's JSON that its declaration says.
  static let settingNames: Set<String> = ["enabled_tool_checks", "allow_undecided", "intent"]

  init(json: JSONValue) throws(RuntimeFailure) {
    guard let id = json["id"]?.string.flatMap({ MASID(validating: $0) }), let name = json["name"]?.string else {
      throw .unreachable("the runtime's answer holds no MAS")
    }
    self.init(
      id: id, name: name, owner: json["owner"]?.string,
      settings: .object((json.object ?? [:]).filter { Self.settingNames.contains($0.key) }))
  }
}

extension RegisteredSystem.RegisteredApp {
  static let settingNames: Set<String> = ["base_url", "prompt_json_path", "allowed_methods"]

  init(json: JSONValue) throws(RuntimeFailure) {
    guard let id = json["id"]?.string.flatMap({ AppID(validating: $0) }), let kind = json["kind"]?.string else {
      throw .unreachable("the runtime's answer holds no app")
    }
    self.init(
      id: id, kind: kind, settings: .object((json.object ?? [:]).filter { Self.settingNames.contains($0.key) }))
  }
}
