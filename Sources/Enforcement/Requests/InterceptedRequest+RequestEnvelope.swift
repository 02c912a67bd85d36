public import AgentProtocols
import CASACore

extension InterceptedRequest {
  /// - Throws: `Refusal` when a pseudo-field is missing or there twice, or as for what Envoy says of a request.
  public init(_ envelope: RequestEnvelope) throws(Refusal) {
    func pseudo(_ name: String) throws(Refusal) -> ArraySlice<UInt8> {
      let found = envelope.fields.filter { $0.name.elementsEqual(name.utf8) }
      guard found.count == 1 else {
        throw Refusal(.malformedRequest, "the proxy must send :method, :path and :authority, each once")
      }
      return found[0].value[...]
    }
    try self.init(
      method: pseudo(":method"), target: pseudo(":path"), host: pseudo(":authority"),
      fields: envelope.fields.map { RawField(name: $0.name[...], value: $0.value[...]) }, body: envelope.body)
  }
}
