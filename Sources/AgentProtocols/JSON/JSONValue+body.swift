public import CASACore

extension JSONValue {
  /// Reads the body of a message.
  /// - Throws: `ProtocolViolation` for what is not strict JSON, which says what is wrong with it.
  public init(body: [UInt8], limits: JSONLimits = .message) throws(ProtocolViolation) {
    do {
      self = try JSONValue(parsing: body, limits: limits)
    } catch {
      throw ProtocolViolation(
        error.problem == .tooLarge ? .bodyTooLarge : .malformedRequest, "the body is not strict JSON: \(error)")
    }
  }
}
