public import CASACore

/// The id of a JSON-RPC request: a string or a whole number (MCP and A2A allow no null).
public enum JSONRPCID: Sendable, Hashable {
  case string(String)
  case integer(Int64)

  /// nil for anything that is no id.
  public init?(_ json: JSONValue) {
    if let text = json.string, text.utf8.count <= 256 {
      self = .string(text)
    } else if let number = json.integer {
      self = .integer(number)
    } else {
      return nil
    }
  }

  public var json: JSONValue {
    switch self {
    case .string(let text): .string(text)
    case .integer(let number): .number(Double(number))
    }
  }
}
