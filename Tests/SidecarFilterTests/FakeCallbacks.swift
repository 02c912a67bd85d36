import CEnvoyModule
import Synchronization

// Envoy's functions, as the module calls them.

@_cdecl("envoy_dynamic_module_callback_log")
func fakeLog(_ level: UInt32, _ message: casa_bytes) { _ = message.copied }

@_cdecl("envoy_dynamic_module_callback_http_get_headers_size")
func fakeHeadersSize(_ stream: UnsafeMutableRawPointer, _ map: UInt32) -> Int {
  FakeStream.at(stream).fields.count
}

@_cdecl("envoy_dynamic_module_callback_http_get_header")
func fakeHeader(
  _ stream: UnsafeMutableRawPointer, _ map: UInt32, _ name: casa_bytes, _ value: UnsafeMutablePointer<casa_bytes>,
  _ index: Int, _ total: UnsafeMutablePointer<Int>?
) -> Bool {
  let stream = FakeStream.at(stream)
  let wanted = UnsafeRawBufferPointer(start: name.start, count: name.count)
  let values = stream.fields.filter { $0.name.elementsEqual(wanted) }.map(\.value)
  total?.pointee = values.count
  guard !stream.refusesHeaders, values.indices.contains(index) else { return false }
  value.pointee = stream.lend(values[index])
  return true
}

@_cdecl("envoy_dynamic_module_callback_http_get_headers")
func fakeHeaders(_ stream: UnsafeMutableRawPointer, _ map: UInt32, _ fields: UnsafeMutablePointer<casa_field>) -> Bool {
  let stream = FakeStream.at(stream)
  guard !stream.refusesHeaders else { return false }
  for (index, field) in stream.fields.enumerated() {
    let (name, value) = (stream.lend(field.name), stream.lend(field.value))
    fields[index] = casa_field(name: name.start, name_count: name.count, value: value.start, value_count: value.count)
  }
  return true
}

@_cdecl("envoy_dynamic_module_callback_http_set_header")
func fakeSetHeader(
  _ stream: UnsafeMutableRawPointer, _ map: UInt32, _ name: casa_bytes, _ value: casa_bytes
) -> Bool {
  FakeStream.at(stream).change(name.copied, value.start == nil ? nil : value.copied)
}

@_cdecl("envoy_dynamic_module_callback_http_clear_route_cache")
func fakeClearRouteCache(_ stream: UnsafeMutableRawPointer) { FakeStream.at(stream).clearRoute() }

@_cdecl("envoy_dynamic_module_callback_http_get_body_size")
func fakeBodySize(_ stream: UnsafeMutableRawPointer, _ body: UInt32) -> Int {
  let stream = FakeStream.at(stream)
  return stream.claimedBodySize ?? stream.chunks(body).count
}

@_cdecl("envoy_dynamic_module_callback_http_get_body_chunks_size")
func fakeBodyChunksSize(_ stream: UnsafeMutableRawPointer, _ body: UInt32) -> Int {
  let count = FakeStream.at(stream).chunks(body).count
  return min(count, 3)
}

@_cdecl("envoy_dynamic_module_callback_http_get_body_chunks")
func fakeBodyChunks(
  _ stream: UnsafeMutableRawPointer, _ body: UInt32, _ chunks: UnsafeMutablePointer<casa_bytes>
) -> Bool {
  let stream = FakeStream.at(stream)
  let bytes = stream.chunks(body)
  guard !bytes.isEmpty else { return false }
  let count = min(bytes.count, 3)
  for index in 0..<count {
    let (start, end) = (bytes.count * index / count, bytes.count * (index + 1) / count)
    chunks[index] = stream.lend(Array(bytes[start..<end]))
  }
  return true
}

@_cdecl("envoy_dynamic_module_callback_http_received_buffered_request_body")
func fakeReceivedBuffered(_ stream: UnsafeMutableRawPointer) -> Bool { FakeStream.at(stream).receivedIsBuffered }

@_cdecl("envoy_dynamic_module_callback_http_set_dynamic_metadata_string")
func fakeSetMetadata(_ stream: UnsafeMutableRawPointer, _ space: casa_bytes, _ key: casa_bytes, _ value: casa_bytes) {
  FakeStream.at(stream).note(String(decoding: key.copied, as: UTF8.self), value.copied)
}

@_cdecl("envoy_dynamic_module_callback_http_send_response")
func fakeSendResponse(
  _ stream: UnsafeMutableRawPointer, _ status: UInt32, _ fields: UnsafeMutablePointer<casa_field>?, _ count: Int,
  _ body: casa_bytes, _ details: casa_bytes
) {
  for field in UnsafeBufferPointer(start: fields, count: count) {
    _ = casa_bytes(start: field.name, count: field.name_count).copied
    _ = casa_bytes(start: field.value, count: field.value_count).copied
  }
  FakeStream.at(stream).respond(FakeStream.Response(status: status, body: body.copied))
}

@_cdecl("envoy_dynamic_module_callback_http_filter_continue_decoding")
func fakeContinue(_ stream: UnsafeMutableRawPointer) { FakeStream.at(stream).resume() }

@_cdecl("envoy_dynamic_module_callback_http_filter_http_callout")
func fakeCallout(
  _ stream: UnsafeMutableRawPointer, _ callout: UnsafeMutablePointer<UInt64>, _ cluster: casa_bytes,
  _ fields: UnsafeMutablePointer<casa_field>, _ count: Int, _ body: casa_bytes, _ timeout: UInt64
) -> UInt32 {
  callout.pointee = 1
  return FakeStream.at(stream).ask(body.copied)
}

@_cdecl("envoy_dynamic_module_callback_http_filter_config_http_callout")
func fakeConfigCallout(
  _ configuration: UnsafeMutableRawPointer, _ callout: UnsafeMutablePointer<UInt64>, _ cluster: casa_bytes,
  _ fields: UnsafeMutablePointer<casa_field>, _ count: Int, _ body: casa_bytes, _ timeout: UInt64
) -> UInt32 {
  callout.pointee = 1
  return FakeConfiguration.at(configuration).ask(body.copied)
}

@_cdecl("envoy_dynamic_module_callback_http_filter_config_scheduler_new")
func fakeSchedulerNew(_ configuration: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
  FakeConfiguration.at(configuration).schedulers.add(1, ordering: .relaxed)
  return Unmanaged.passRetained(FakeConfiguration.at(configuration)).toOpaque()
}

@_cdecl("envoy_dynamic_module_callback_http_filter_config_scheduler_delete")
func fakeSchedulerDelete(_ scheduler: UnsafeMutableRawPointer) {
  FakeConfiguration.at(scheduler).schedulers.subtract(1, ordering: .relaxed)
  Unmanaged<FakeConfiguration>.fromOpaque(scheduler).release()
}

@_cdecl("envoy_dynamic_module_callback_http_filter_config_scheduler_commit")
func fakeSchedulerCommit(_ scheduler: UnsafeMutableRawPointer, _ event: UInt64) {
  FakeConfiguration.at(scheduler).commits.add(1, ordering: .relaxed)
}
