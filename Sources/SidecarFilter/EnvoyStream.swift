import CEnvoyModule
import Enforcement

/// Envoy's side of one request: good within the hook that got it, and only on that hook's thread.
struct EnvoyStream {
  let pointer: UnsafeMutableRawPointer

  static let maximumFields = 1000
  static let maximumFieldBytes = 1 << 20

  /// Lends the request's header fields, in Envoy's memory; not when Envoy has none, too many, or says nonsense of them.
  /// - Returns: what `action` does; nil when it was not called.
  func withRequestFields<Result>(_ action: (UnsafeBufferPointer<casa_field>) -> Result?) -> Result? {
    let count = envoy_dynamic_module_callback_http_get_headers_size(pointer, CASA_REQUEST_HEADERS)
    guard (1...Self.maximumFields).contains(count) else { return nil }
    return withUnsafeTemporaryAllocation(of: casa_field.self, capacity: count) { buffer in
      buffer.initialize(repeating: casa_field())
      guard let start = buffer.baseAddress,
        envoy_dynamic_module_callback_http_get_headers(pointer, CASA_REQUEST_HEADERS, start),
        byteCount(of: UnsafeBufferPointer(buffer), limit: Self.maximumFieldBytes) != nil
      else { return nil }
      return action(UnsafeBufferPointer(buffer))
    }
  }

  /// Whether the request asks for a tunnel; nil when Envoy knows no method of it.
  var isTunnel: Bool? {
    var method = casa_bytes()
    guard
      envoy_dynamic_module_callback_http_get_header(
        pointer, CASA_REQUEST_HEADERS, casa_bytes(":method"), &method, 0, nil),
      method.start != nil, method.count > 0
    else { return nil }
    return method.bytes.hasBytes(of: "CONNECT")
  }

  /// How much of the body there is so far.
  var bodySize: Int {
    let buffered = size(CASA_BUFFERED_REQUEST_BODY)
    if envoy_dynamic_module_callback_http_received_buffered_request_body(pointer) { return buffered }
    let (sum, overflow) = buffered.addingReportingOverflow(size(CASA_RECEIVED_REQUEST_BODY))
    return overflow ? Int.max : sum
  }

  /// Lends the whole body, in pieces in Envoy's memory; not when they are not what was announced.
  /// - Parameter size: as `bodySize` says.
  /// - Returns: what `action` does; nil when it was not called.
  func withBody<Result>(size: Int, _ action: (UnsafeBufferPointer<casa_bytes>) -> Result?) -> Result? {
    let buffered = envoy_dynamic_module_callback_http_get_body_chunks_size(pointer, CASA_BUFFERED_REQUEST_BODY)
    let received =
      envoy_dynamic_module_callback_http_received_buffered_request_body(pointer)
      ? 0 : envoy_dynamic_module_callback_http_get_body_chunks_size(pointer, CASA_RECEIVED_REQUEST_BODY)
    // One byte in each piece at least, or Envoy would not have it.
    guard (0...size).contains(buffered), (0...size).contains(received) else { return nil }
    return withUnsafeTemporaryAllocation(of: casa_bytes.self, capacity: max(1, buffered + received)) { buffer in
      buffer.initialize(repeating: casa_bytes())
      guard let start = buffer.baseAddress,
        buffered == 0
          || envoy_dynamic_module_callback_http_get_body_chunks(pointer, CASA_BUFFERED_REQUEST_BODY, start),
        received == 0
          || envoy_dynamic_module_callback_http_get_body_chunks(pointer, CASA_RECEIVED_REQUEST_BODY, start + buffered)
      else { return nil }
      let chunks = UnsafeBufferPointer(rebasing: buffer[..<(buffered + received)])
      // Anything else than what was announced is not the whole.
      guard byteCount(of: chunks, limit: size) == size else { return nil }
      return action(chunks)
    }
  }

  private func size(_ body: casa_body) -> Int {
    Int(clamping: UInt(bitPattern: envoy_dynamic_module_callback_http_get_body_size(pointer, body)))
  }

  /// - Parameter value: not empty, which Envoy would take for the wish to remove the field.
  func set(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
    !value.isEmpty
      && envoy_dynamic_module_callback_http_set_header(
        pointer, CASA_REQUEST_HEADERS, casa_bytes(name), casa_bytes(value))
  }

  /// Whether the field was there makes no difference.
  func remove(_ name: UnsafeRawBufferPointer) {
    _ = envoy_dynamic_module_callback_http_set_header(pointer, CASA_REQUEST_HEADERS, casa_bytes(name), casa_bytes())
  }

  func clearRouteCache() { envoy_dynamic_module_callback_http_clear_route_cache(pointer) }

  func setMetadata(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
    envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
      pointer, casa_bytes("envoy.filters.http.ext_authz"), casa_bytes(key), casa_bytes(nonNull: value))
  }

  /// The filter may be gone when this returns.
  func continueRequest() { envoy_dynamic_module_callback_http_filter_continue_decoding(pointer) }

  /// The filter may be gone when this returns.
  func respond(_ status: UInt32, fields: [(name: [UInt8], value: [UInt8])], body: [UInt8]) {
    withFields(fields) { fields in
      body.withUnsafeBytes { body in
        envoy_dynamic_module_callback_http_send_response(
          pointer, status, fields.baseAddress, fields.count, casa_bytes(body), casa_bytes("casa_refused"))
      }
    }
  }

  /// - Returns: whether it was begun. The answer may have come before this returns.
  func ask(_ cluster: [UInt8], fields: [(name: [UInt8], value: [UInt8])], body: [UInt8], timeout: UInt64) -> Bool {
    callOut(cluster, fields, body) {
      envoy_dynamic_module_callback_http_filter_http_callout(pointer, $0, $1, $2, $3, $4, timeout)
    }
  }
}

/// Envoy's side of one filter's configuration: used on Envoy's main thread only.
struct EnvoyConfiguration {
  let pointer: UnsafeMutableRawPointer

  /// - Returns: whether it was begun. The answer may have come before this returns.
  func ask(_ cluster: [UInt8], fields: [(name: [UInt8], value: [UInt8])], body: [UInt8], timeout: UInt64) -> Bool {
    callOut(cluster, fields, body) {
      envoy_dynamic_module_callback_http_filter_config_http_callout(pointer, $0, $1, $2, $3, $4, timeout)
    }
  }
}

private func callOut(
  _ cluster: [UInt8], _ fields: [(name: [UInt8], value: [UInt8])], _ body: [UInt8],
  _ start: (UnsafeMutablePointer<UInt64>, casa_bytes, UnsafeMutablePointer<casa_field>, Int, casa_bytes) -> UInt32
) -> Bool {
  withFields(fields) { fields in
    guard let first = fields.baseAddress else { return false }
    return cluster.withUnsafeBytes { cluster in
      body.withUnsafeBytes { body in
        var callout: UInt64 = 0
        return start(&callout, casa_bytes(cluster), first, fields.count, casa_bytes(body)) == CASA_CALLOUT_STARTED
      }
    }
  }
}

/// Lends `fields` to Envoy, which copies them.
private func withFields<Result>(
  _ fields: [(name: [UInt8], value: [UInt8])], _ action: (UnsafeMutableBufferPointer<casa_field>) -> Result
) -> Result {
  let texts = fields.reduce(into: [UInt8]()) { $0 += $1.name + $1.value }
  return texts.withUnsafeBytes { texts in
    var position = 0
    func next(_ count: Int) -> casa_bytes {
      let part = texts[position..<position + count]
      position += count
      return casa_bytes(nonNull: UnsafeRawBufferPointer(rebasing: part))
    }
    var lent = fields.map { field in
      let (name, value) = (next(field.name.count), next(field.value.count))
      return casa_field(name: name.start, name_count: name.count, value: value.start, value_count: value.count)
    }
    return lent.withUnsafeMutableBufferPointer { action($0) }
  }
}

/// How long header fields in Envoy's memory are together; nil when longer than `limit`, or when they make no sense.
private func byteCount(of fields: UnsafeBufferPointer<casa_field>, limit: Int) -> Int? {
  var size = 0
  for field in fields {
    guard field.name_count >= 0, field.value_count >= 0, field.name_count <= limit, field.value_count <= limit,
      field.name != nil || field.name_count == 0, field.value != nil || field.value_count == 0
    else { return nil }
    size += field.name_count + field.value_count
    guard size <= limit else { return nil }
  }
  return size
}

/// The same of pieces of a body.
private func byteCount(of chunks: UnsafeBufferPointer<casa_bytes>, limit: Int) -> Int? {
  var size = 0
  for chunk in chunks {
    guard chunk.count >= 0, chunk.count <= limit - size, chunk.start != nil || chunk.count == 0 else { return nil }
    size += chunk.count
  }
  return size
}

/// Header fields in Envoy's memory, copied into one array; nil when they are longer than `limit` or make no sense.
func copyFields(_ fields: UnsafeBufferPointer<casa_field>, limit: Int) -> [RawField]? {
  guard let size = byteCount(of: fields, limit: limit) else { return nil }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(size)
  for field in fields {
    bytes.append(contentsOf: field.nameBytes)
    bytes.append(contentsOf: field.valueBytes)
  }
  var copies: [RawField] = []
  copies.reserveCapacity(fields.count)
  var position = 0
  for field in fields {
    let value = position + field.name_count
    let end = value + field.value_count
    copies.append(RawField(name: bytes[position..<value], value: bytes[value..<end]))
    position = end
  }
  return copies
}

extension casa_field {
  /// Of a field that was looked at: null only where there is nothing.
  var nameBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: name, count: name_count) }
  var valueBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: value, count: value_count) }
}

extension [UInt8] {
  /// - Returns: whether they were no longer than `limit` in all.
  mutating func append(chunks: some Sequence<casa_bytes>, limit: Int) -> Bool {
    for chunk in chunks {
      guard chunk.count >= 0, chunk.count <= limit - count, chunk.start != nil || chunk.count == 0 else { return false }
      append(contentsOf: UnsafeRawBufferPointer(start: chunk.start, count: chunk.count))
    }
    return true
  }
}

extension casa_bytes {
  /// Of a piece that was looked at: null only where there is nothing.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

  init(_ bytes: UnsafeRawBufferPointer) {
    self.init(start: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count: bytes.count)
  }

  /// Where null would mean something else than no bytes.
  init(nonNull bytes: UnsafeRawBufferPointer) {
    self.init(bytes)
    if start == nil { self.init("") }
  }

  init(_ text: StaticString) {
    self.init(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
