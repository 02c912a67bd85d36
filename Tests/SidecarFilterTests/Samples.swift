import AgentProtocols
import CASACore
import CEnvoyModule
import Enforcement
import SidecarFilter

/// A request that the filter can admit by itself once it learned `facts`.
enum Samples {
  static let key = String(repeating: "k", count: 40)
  static let trace = "0af7651916cd43dd8448eb211c80319c"

  static let settings: JSONValue = [
    "key": .string(key), "listener": "ingress", "cluster": "authorization",
    "point": ["side": "ingress", "path": "/mcp"],
  ]

  static let token: String = {
    let claims: JSONValue = [
      "iss": "http://runtime", "sub": "app_1", "client_id": "app_1", "aud": "urn:casa:app:app_2", "iat": 1, "nbf": 1,
      "exp": 200_000_000_000, "jti": "t1", "scope": "user-input", "mas_id": "mas_1", "tools": [],
      "user_input_id": "ui_1", "trace_id": .string(trace),
    ]
    let header: JSONValue = ["alg": "ES256", "typ": "at+jwt"]
    return [header.canonicalBytes, claims.canonicalBytes, [1, 2, 3]].map { Base64URL.encode($0) }.joined(separator: ".")
  }()

  static let facts: JSONValue = [
    "identity": ["id": "app_2", "mas_id": "mas_1", "name": "bank", "kind": "mcp_server", "peers": []],
    "active": ["sha256": .string(hash), "user_input_id": "ui_1", "ms": 30_000],
  ]

  /// Of `token`.
  static let hash = tokenHash(token).text

  static let get: [(String, String)] = [
    (":method", "GET"), (":path", "/mcp"), (":authority", "bank"), ("authorization", "Bearer " + token),
    ("traceparent", "00-\(trace)-b7ad6b7169203331-01"),
  ]

  static func bytes(_ fields: [(String, String)]) -> [(name: [UInt8], value: [UInt8])] {
    fields.map { (Array($0.0.utf8), Array($0.1.utf8)) }
  }

  static let admitting: [(String, String)] = [(":status", "200"), ("x-casa-verdict", "admit"), ("x-casa-epoch", "1")]
  static let refusing: [(String, String)] = [
    (":status", "200"), ("x-casa-verdict", "refuse"), ("x-casa-epoch", "1"), ("x-casa-status", "403"),
  ]
}

/// One filter's configuration as Envoy holds it.
final class LoadedFilter {
  let envoy: FakeConfiguration
  let module: UnsafeRawPointer

  /// nil when the module refuses it.
  init?(_ settings: [UInt8] = Samples.settings.canonicalBytes) {
    let envoy = FakeConfiguration()
    let made = settings.withUnsafeBytes { bytes in
      onConfigNew(
        envoy.pointer, casa_bytes(),
        casa_bytes(start: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count: bytes.count))
    }
    guard let made else { return nil }
    self.envoy = envoy
    module = made
  }

  deinit { onConfigDestroy(module) }

  func begin(_ fields: [(name: [UInt8], value: [UInt8])] = Samples.bytes(Samples.get)) -> FakeStream {
    let stream = FakeStream()
    stream.fields = fields
    stream.filter = onFilterNew(module, stream.pointer)
    return stream
  }

  /// Envoy's main thread does what it was asked to.
  func deliver() { onConfigScheduled(envoy.pointer, module, 0) }

  func answerRecords(_ fields: [(String, String)], result: UInt32 = 0) {
    let lender = FakeStream()
    lender.lending(Samples.bytes(fields), []) { fields, count, chunks, chunkCount in
      onConfigCalloutDone(envoy.pointer, module, 1, result, fields, count, chunks, chunkCount)
    }
  }
}

extension FakeStream {
  func lending(
    _ fields: [(name: [UInt8], value: [UInt8])], _ body: [[UInt8]],
    _ action: (UnsafeMutablePointer<casa_field>?, Int, UnsafeMutablePointer<casa_bytes>?, Int) -> Void
  ) {
    // In memory of its own, since the stream's is taken back when a header is set.
    var memory: [UnsafeMutableRawBufferPointer] = []
    func lend(_ bytes: [UInt8]) -> casa_bytes {
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
      buffer.copyBytes(from: bytes)
      memory.append(buffer)
      return casa_bytes(start: buffer.baseAddress?.assumingMemoryBound(to: CChar.self), count: bytes.count)
    }
    var lent = fields.map { field in
      let (name, value) = (lend(field.name), lend(field.value))
      return casa_field(name: name.start, name_count: name.count, value: value.start, value_count: value.count)
    }
    var chunks = body.map(lend)
    lent.withUnsafeMutableBufferPointer { lent in
      chunks.withUnsafeMutableBufferPointer { action(lent.baseAddress, lent.count, $0.baseAddress, $0.count) }
    }
    for buffer in memory {
      for index in buffer.indices { buffer[index] = 0xEE }
      buffer.deallocate()
    }
  }

  @discardableResult
  func headers(isLast: Bool) -> UInt32 {
    defer { takeBack() }
    let status = onRequestHeaders(pointer, filter, isLast)
    if status == CASA_HEADERS_CONTINUE { passages += 1 }
    return status
  }

  @discardableResult
  func data(_ bytes: [UInt8], isLast: Bool) -> UInt32 {
    bodyReceived = bytes
    defer { takeBack() }
    let status = onRequestBody(pointer, filter, isLast)
    if status == CASA_DATA_CONTINUE { passages += 1 }
    if status == CASA_DATA_STOP_AND_BUFFER { bodyBuffered += bodyReceived }
    bodyReceived = []
    return status
  }

  @discardableResult
  func trailers() -> UInt32 {
    defer { takeBack() }
    let status = onRequestTrailers(pointer, filter)
    if status == CASA_HEADERS_CONTINUE { passages += 1 }
    return status
  }

  func answer(_ fields: [(name: [UInt8], value: [UInt8])], _ body: [[UInt8]] = [], result: UInt32 = 0) {
    hasQuestion = false
    lending(fields, body) { fields, count, chunks, chunkCount in
      onCalloutDone(pointer, filter, 1, result, fields, count, chunks, chunkCount)
    }
    takeBack()
  }
}
