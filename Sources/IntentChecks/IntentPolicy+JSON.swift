import AgentProtocols
public import CASACore
import Foundation

extension IntentPolicy {
  private static let members: Set<String> = [
    "strategy", "tool_effects", "grounded_values", "maximum_near_misses", "calibration",
  ]

  public var json: JSONValue {
    var members: [String: JSONValue] = [
      "strategy": .string(strategy.rawValue),
      "grounded_values": .array(groundedValues.map(JSONValue.string)),
      "maximum_near_misses": .number(Double(maximumNearMisses)),
      "tool_effects": .object(
        Dictionary(
          uniqueKeysWithValues: toolEffects.map { tool, effects in
            (tool.text, .array(effects.map(\.rawValue).sorted().map(JSONValue.string)))
          })),
    ]
    if let calibration, let bytes = try? calibration.json, let json = try? JSONValue(parsing: Array(bytes)) {
      members["calibration"] = json
    }
    return .object(members)
  }

  /// Reads a policy; absent members take their defaults.
  /// - Throws: `InvalidField` naming the member that is wrong.
  public init(json: JSONValue) throws(InvalidField) {
    self.init()
    guard let object = json.object else { throw InvalidField("intent", expected: "an object") }
    if let unknown = object.keys.sorted().first(where: { !Self.members.contains($0) }) {
      throw InvalidField(
        "intent", expected: "an object of \(Self.members.sorted().joined(separator: ", ")); got \(unknown.prefix(64))")
    }
    if let value = object["strategy"] {
      guard let strategy = value.string.flatMap({ MatchStrategy(rawValue: $0) }) else {
        throw InvalidField("strategy", expected: "embeddings, llm_verifier or hybrid")
      }
      self.strategy = strategy
    }
    if let value = object["grounded_values"] {
      let values = (value.array ?? []).compactMap(\.string)
      guard let count = value.array?.count, count <= 1000, values.count == count,
        values.allSatisfy({ (1...1024).contains($0.utf8.count) })
      else { throw InvalidField("grounded_values", expected: "an array of at most 1000 texts of 1 to 1024 bytes") }
      groundedValues = values
    }
    if let value = object["maximum_near_misses"] {
      guard let number = value.integer, (1...1000).contains(number) else {
        throw InvalidField("maximum_near_misses", expected: "a whole number from 1 to 1000")
      }
      maximumNearMisses = Int(number)
    }
    for (name, value) in object["tool_effects"]?.object ?? [:] {
      let effects = (value.array ?? []).compactMap { $0.string.flatMap(ToolEffect.init(rawValue:)) }
      guard let tool = ToolName(name), !effects.isEmpty, effects.count == value.array?.count else {
        let known = ToolEffect.allCases.map(\.rawValue).joined(separator: ", ")
        throw InvalidField("tool_effects", expected: "an object of tools' names and arrays of \(known)")
      }
      toolEffects[tool] = Set(effects)
    }
    if let value = object["calibration"], value != .null {
      calibration = try Calibration(parsing: Data(value.canonicalBytes))
    }
  }
}
