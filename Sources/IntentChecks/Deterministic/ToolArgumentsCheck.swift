import CASACore

/// `DETERMINISTIC_TOOL_ARGUMENTS`: the call has every argument that the tool's approved schema requires, and none that
/// it does not know.
///
/// Types are left to the server: what a wrong type does there is an error, while an argument that nobody approved may
/// do anything.
struct ToolArgumentsCheck: Check {
  let name = CheckName.deterministicToolArguments

  func examine(_ question: ToolCallInQuestion) -> CheckFinding {
    guard let schema = question.tool?.inputSchema.object else {
      return CheckFinding(.abstain(why: "the tool has no input schema"), "the tool has no input schema")
    }
    let arguments = question.call.arguments
    if let missing = (schema["required"]?.array ?? []).compactMap(\.string).first(where: { arguments[$0] == nil }) {
      return CheckFinding(.block(.toolParametersMismatch), "the required argument `\(missing.prefix(64))` is missing")
    }
    if let known = Self.closedProperties(of: schema),
      let unknown = arguments.keys.sorted().first(where: { known[$0] == nil })
    {
      return CheckFinding(
        .block(.toolParametersMismatch), "the approved definition has no parameter `\(unknown.prefix(64))`")
    }
    return CheckFinding(.allow, "the arguments are those that the approved definition has")
  }

  /// The properties of a schema that allows no others, by saying so or by saying nothing; nil when others may be given
  /// or other keywords have a say in it.
  private static func closedProperties(of schema: [String: JSONValue]) -> [String: JSONValue]? {
    guard schema["additionalProperties"] ?? false == false,
      ["patternProperties", "allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"].allSatisfy({
        schema[$0] == nil
      })
    else { return nil }
    return schema["properties"]?.object
  }
}
