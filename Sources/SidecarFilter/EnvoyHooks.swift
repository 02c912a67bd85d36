import CASACore
public import CEnvoyModule
import Enforcement

// The functions that Envoy finds by name. They do nothing but turn its pointers into values and back.

/// What Envoy's pointer to a filter's configuration points to.
private final class ConfigurationBox {
  let filter: ListenerFilter
  let pacer: DeliveryPacer

  init(_ filter: ListenerFilter, _ pacer: DeliveryPacer) {
    self.filter = filter
    self.pacer = pacer
  }
}

/// As Envoy 1.40 names its interface; another release says in its log that it has another.
private let interfaceVersion: StaticString = "v0.2.0"

@_cdecl("envoy_dynamic_module_on_program_init")
public func onProgramInit() -> UnsafePointer<CChar>? {
  UnsafeRawPointer(interfaceVersion.utf8Start).assumingMemoryBound(to: CChar.self)
}

// MARK: Configuration

@_cdecl("envoy_dynamic_module_on_http_filter_config_new")
public func onConfigNew(_ envoy: UnsafeMutableRawPointer, _ name: casa_bytes, _ settings: casa_bytes)
  -> UnsafeRawPointer?
{
  var text: [UInt8] = []
  guard text.append(chunks: [settings], limit: 1 << 20) else { return nil }
  let configuration: FilterConfiguration
  do throws(FilterConfiguration.Fault) {
    configuration = try FilterConfiguration(parsing: text)
  } catch {
    logError("CASA's filter can't use its configuration: \(error.rawValue)")
    return nil
  }
  guard let scheduler = envoy_dynamic_module_callback_http_filter_config_scheduler_new(envoy) else {
    logError("CASA's filter got no scheduler of Envoy")
    return nil
  }
  let pacer = DeliveryPacer(scheduler: scheduler)
  let box = ConfigurationBox(ListenerFilter(configuration, pacer: pacer), pacer)
  return UnsafeRawPointer(Unmanaged.passRetained(box).toOpaque())
}

@_cdecl("envoy_dynamic_module_on_http_filter_config_destroy")
public func onConfigDestroy(_ configuration: UnsafeRawPointer?) {
  guard let configuration else { return }
  let box = Unmanaged<ConfigurationBox>.fromOpaque(configuration).takeRetainedValue()
  box.pacer.stop()
}

@_cdecl("envoy_dynamic_module_on_http_filter_config_scheduled")
public func onConfigScheduled(
  _ envoy: UnsafeMutableRawPointer?, _ configuration: UnsafeRawPointer?, _ event: UInt64
) {
  guard let envoy, let configuration else { return }
  Unmanaged<ConfigurationBox>.fromOpaque(configuration).takeUnretainedValue().filter
    .deliver(EnvoyConfiguration(pointer: envoy))
}

@_cdecl("envoy_dynamic_module_on_http_filter_config_http_callout_done")
public func onConfigCalloutDone(
  _ envoy: UnsafeMutableRawPointer?, _ configuration: UnsafeRawPointer?, _ callout: UInt64, _ result: UInt32,
  _ fields: UnsafeMutablePointer<casa_field>?, _ fieldCount: Int, _ chunks: UnsafeMutablePointer<casa_bytes>?,
  _ chunkCount: Int
) {
  guard let envoy, let configuration else { return }
  let answer = result == CASA_CALLOUT_ANSWERED ? answerFields(fields, fieldCount) : nil
  Unmanaged<ConfigurationBox>.fromOpaque(configuration).takeUnretainedValue().filter
    .delivered(fields: answer, EnvoyConfiguration(pointer: envoy))
}

// MARK: A request

@_cdecl("envoy_dynamic_module_on_http_filter_new")
public func onFilterNew(_ configuration: UnsafeRawPointer?, _ envoy: UnsafeMutableRawPointer?) -> UnsafeRawPointer? {
  guard let configuration else { return nil }
  let box = Unmanaged<ConfigurationBox>.fromOpaque(configuration).takeUnretainedValue()
  return UnsafeRawPointer(Unmanaged.passRetained(StreamFilter(box.filter)).toOpaque())
}

@_cdecl("envoy_dynamic_module_on_http_filter_destroy")
public func onFilterDestroy(_ filter: UnsafeRawPointer?) {
  if let filter { Unmanaged<StreamFilter>.fromOpaque(filter).release() }
}

/// Holds the filter for as long as the hook runs: an answer sent within it may destroy it.
private func withFilter(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?,
  _ action: (StreamFilter, EnvoyStream) -> StreamFilter.Passage
) -> StreamFilter.Passage {
  guard let envoy, let filter else { return .drop }
  let held = Unmanaged<StreamFilter>.fromOpaque(filter).takeUnretainedValue()
  return withExtendedLifetime(held) { action(held, EnvoyStream(pointer: envoy)) }
}

@_cdecl("envoy_dynamic_module_on_http_filter_request_headers")
public func onRequestHeaders(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ isLast: Bool) -> UInt32 {
  switch withFilter(envoy, filter, { $0.headers($1, isLast: isLast) }) {
  case .goOn: CASA_HEADERS_CONTINUE
  case .hold, .drop: CASA_HEADERS_STOP
  }
}

@_cdecl("envoy_dynamic_module_on_http_filter_request_body")
public func onRequestBody(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ isLast: Bool) -> UInt32 {
  switch withFilter(envoy, filter, { $0.data($1, isLast: isLast) }) {
  case .goOn: CASA_DATA_CONTINUE
  case .hold: CASA_DATA_STOP_AND_BUFFER
  case .drop: CASA_DATA_STOP_NO_BUFFER
  }
}

@_cdecl("envoy_dynamic_module_on_http_filter_request_trailers")
public func onRequestTrailers(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?) -> UInt32 {
  switch withFilter(envoy, filter, { $0.trailers($1) }) {
  case .goOn: CASA_HEADERS_CONTINUE
  case .hold, .drop: CASA_HEADERS_STOP
  }
}

@_cdecl("envoy_dynamic_module_on_http_filter_http_callout_done")
public func onCalloutDone(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ callout: UInt64, _ result: UInt32,
  _ fields: UnsafeMutablePointer<casa_field>?, _ fieldCount: Int, _ chunks: UnsafeMutablePointer<casa_bytes>?,
  _ chunkCount: Int
) {
  _ = withFilter(envoy, filter) { filter, stream in
    let isAnswer = result == CASA_CALLOUT_ANSWERED
    filter.answered(
      stream, fields: isAnswer ? answerFields(fields, fieldCount) : nil,
      body: isAnswer ? answerBody(chunks, chunkCount) : nil)
    return .hold
  }
}

private func answerFields(_ fields: UnsafeMutablePointer<casa_field>?, _ count: Int) -> [RawField]? {
  guard let fields, (1...AuthorizationAnswer.maximumFields).contains(count) else { return nil }
  return copyFields(UnsafeBufferPointer(start: fields, count: count), limit: 1 << 18)
}

private func answerBody(_ chunks: UnsafeMutablePointer<casa_bytes>?, _ count: Int) -> [UInt8]? {
  guard count > 0 else { return [] }
  guard let chunks else { return nil }
  var body: [UInt8] = []
  let isWhole = body.append(
    chunks: UnsafeBufferPointer(start: chunks, count: count), limit: AuthorizationAnswer.maximumBodyBytes)
  return isWhole ? body : nil
}

private func logError(_ message: StaticString) { logError(String(describing: message)) }

private func logError(_ message: String) {
  var message = message
  message.withUTF8 { envoy_dynamic_module_callback_log(CASA_LOG_ERROR, casa_bytes(UnsafeRawBufferPointer($0))) }
}

// MARK: Of no interest to this filter, but Envoy asks for them

@_cdecl("envoy_dynamic_module_on_http_filter_response_headers")
public func onResponseHeaders(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ isLast: Bool) -> UInt32
{ CASA_HEADERS_CONTINUE }

@_cdecl("envoy_dynamic_module_on_http_filter_response_body")
public func onResponseBody(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ isLast: Bool) -> UInt32 {
  CASA_DATA_CONTINUE
}

@_cdecl("envoy_dynamic_module_on_http_filter_response_trailers")
public func onResponseTrailers(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?) -> UInt32 {
  CASA_HEADERS_CONTINUE
}

@_cdecl("envoy_dynamic_module_on_http_filter_stream_complete")
public func onStreamComplete(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?) {}

@_cdecl("envoy_dynamic_module_on_http_filter_scheduled")
public func onScheduled(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ event: UInt64) {}

@_cdecl("envoy_dynamic_module_on_http_filter_http_stream_headers")
public func onHTTPStreamHeaders(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ stream: UInt64,
  _ fields: UnsafeMutablePointer<casa_field>?, _ count: Int, _ isLast: Bool
) {}

@_cdecl("envoy_dynamic_module_on_http_filter_http_stream_data")
public func onHTTPStreamData(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ stream: UInt64,
  _ chunks: UnsafePointer<casa_bytes>?, _ count: Int, _ isLast: Bool
) {}

@_cdecl("envoy_dynamic_module_on_http_filter_http_stream_trailers")
public func onHTTPStreamTrailers(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ stream: UInt64,
  _ fields: UnsafeMutablePointer<casa_field>?, _ count: Int
) {}

@_cdecl("envoy_dynamic_module_on_http_filter_http_stream_complete")
public func onHTTPStreamComplete(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ stream: UInt64) {}

@_cdecl("envoy_dynamic_module_on_http_filter_http_stream_reset")
public func onHTTPStreamReset(
  _ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?, _ stream: UInt64, _ reason: UInt32
) {}

@_cdecl("envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark")
public func onAboveHighWatermark(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?) {}

@_cdecl("envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark")
public func onBelowLowWatermark(_ envoy: UnsafeMutableRawPointer?, _ filter: UnsafeRawPointer?) {}
