import AgentProtocols
import CASACore

@Sendable func fuzzTraceParent(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let parent = TraceParent(text) else { return }
  require(haveSameBytes(parent.text, text), "what is read is what stands there")
}

@Sendable func fuzzJWS(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  guard let jws = try? CompactJWS(parsing: text) else { return }
  let signature = Base64URL.encode(jws.signature)
  require(jws.signingInput + Array(".\(signature)".utf8) == Array(text.utf8), "one text for one token")
  require(jws.header.object != nil && jws.payload.object != nil, "header and payload are objects")
}

@Sendable func fuzzForm(_ bytes: [UInt8]) {
  guard let form = try? FormBody(parsing: bytes) else { return }
  let fields = form.names.map { ($0, form[$0] ?? "") }
  guard let again = try? FormBody(parsing: FormBody.encode(fields)) else {
    fatalError("broken: what is written can be read")
  }
  require(again.names.count == fields.count, "no field is lost")
  for (name, value) in fields { require(haveSameBytes(again[name] ?? "", value), "each value is read again") }
}

@Sendable func fuzzEnvelope(_ bytes: [UInt8]) {
  guard let envelope = try? RequestEnvelope(parsing: bytes) else { return }
  require(envelope.bytes == bytes, "one encoding for one request")
  require((try? RequestEnvelope(fields: envelope.fields, body: envelope.body)) == envelope, "it can be made again")
}
