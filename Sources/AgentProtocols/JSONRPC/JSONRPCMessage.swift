public import CASACore

/// One message of JSON-RPC 2.0. A batch is not one: a second call could hide in it.
public enum JSONRPCMessage: Sendable {
  case request(id: JSONRPCID, method: String, params: [String: JSONValue])
  case notification(method: String, params: [String: JSONValue])
  /// A result or an error, sent by the side that was asked.
  case response

  /// Reads a body.
  /// - Throws: `ProtocolViolation`
  public init(parsing body: [UInt8], limits: JSONLimits) throws(ProtocolViolation) {
    try self.init(try JSONValue(body: body, limits: limits))
  }

  /// - Throws: `ProtocolViolation`
  public init(_ json: JSONValue) throws(ProtocolViolation) {
    guard let members = json.object else {
      throw ProtocolViolation(
        .malformedRequest,
        json.array == nil ? "expected a JSON-RPC object" : "a JSON-RPC batch is refused: send one message at a time")
    }
    let id = members["id"].flatMap { JSONRPCID($0) }
    func malformed(_ detail: String) -> ProtocolViolation {
      ProtocolViolation(.malformedRequest, detail, requestID: id)
    }
    guard members["jsonrpc"]?.string == "2.0" else { throw malformed("`jsonrpc` must be \"2.0\"") }
    guard members["id"] == nil || id != nil else {
      throw malformed("`id` must be a whole number or a string of at most 256 bytes")
    }
    if members["method"] == nil, id != nil || members["error"] != nil,
      (members["result"] == nil) != (members["error"] == nil),
      Set(members.keys).isSubset(of: ["jsonrpc", "id", "result", "error"])
    {
      self = .response
      return
    }
    guard Set(members.keys).isSubset(of: ["jsonrpc", "id", "method", "params"]) else {
      throw malformed("a request has only `jsonrpc`, `id`, `method` and `params`")
    }
    guard let method = members["method"]?.string, (1...128).contains(method.utf8.count),
      method.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { throw malformed("`method` must be 1 to 128 printable ASCII characters") }
    let params: [String: JSONValue]
    switch members["params"] {
    case nil: params = [:]
    case .object(let object): params = object
    default: throw malformed("`params` must be an object")
    }
    if let id {
      self = .request(id: id, method: method, params: params)
    } else {
      self = .notification(method: method, params: params)
    }
  }
}
