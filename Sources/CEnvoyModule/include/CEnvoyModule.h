// What CASA's filter uses of the interface between Envoy 1.40 and a dynamic module: the functions that Envoy finds in
// the module by name (`envoy_dynamic_module_on_...`) and those of its own that the module calls
// (`envoy_dynamic_module_callback_...`).
//
// Names, layouts and numbers are Envoy's; another release may have others. Envoy's pointers are good only until the
// hook that got them returns, or until it changes the headers they came from.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Bytes of either side's.
typedef struct casa_bytes {
  const char *_Nullable start;
  size_t count;
} casa_bytes;

/// A header field of either side's.
typedef struct casa_field {
  const char *_Nullable name;
  size_t name_count;
  const char *_Nullable value;
  size_t value_count;
} casa_field;

// Enumerations cross as 32-bit numbers.

/// Which headers are meant.
typedef uint32_t casa_header_map;
#define CASA_REQUEST_HEADERS ((casa_header_map)0)

/// Which body is meant: what arrived just now, or what Envoy held back before.
typedef uint32_t casa_body;
#define CASA_RECEIVED_REQUEST_BODY ((casa_body)0)
#define CASA_BUFFERED_REQUEST_BODY ((casa_body)1)

/// What Envoy does after a hook for headers or trailers.
typedef uint32_t casa_headers_status;
#define CASA_HEADERS_CONTINUE ((casa_headers_status)0)
#define CASA_HEADERS_STOP ((casa_headers_status)1)

/// What Envoy does after a hook for a piece of a body.
typedef uint32_t casa_data_status;
#define CASA_DATA_CONTINUE ((casa_data_status)0)
#define CASA_DATA_STOP_AND_BUFFER ((casa_data_status)1)
#define CASA_DATA_STOP_NO_BUFFER ((casa_data_status)3)

#define CASA_LOCAL_REPLY_CONTINUE ((uint32_t)0)
#define CASA_CALLOUT_STARTED ((uint32_t)0)
#define CASA_CALLOUT_ANSWERED ((uint32_t)0)
#define CASA_LOG_ERROR ((uint32_t)4)

// What Envoy calls the objects of either side.
typedef void *casa_envoy_config;
typedef void *casa_envoy_stream;
typedef void *casa_envoy_scheduler;
typedef const void *casa_module_config;
typedef const void *casa_module_stream;

// MARK: Envoy's functions

void envoy_dynamic_module_callback_log(uint32_t level, casa_bytes message);

size_t envoy_dynamic_module_callback_http_get_headers_size(casa_envoy_stream _Nonnull, casa_header_map);
bool envoy_dynamic_module_callback_http_get_headers(
    casa_envoy_stream _Nonnull, casa_header_map, casa_field *_Nonnull fields);
/// One of a field's values; false when there is none. `total` is told how many there are.
bool envoy_dynamic_module_callback_http_get_header(
    casa_envoy_stream _Nonnull, casa_header_map, casa_bytes name, casa_bytes *_Nonnull value, size_t index,
    size_t *_Nullable total);
/// A value whose start is null removes the field.
bool envoy_dynamic_module_callback_http_set_header(
    casa_envoy_stream _Nonnull, casa_header_map, casa_bytes name, casa_bytes value);
void envoy_dynamic_module_callback_http_clear_route_cache(casa_envoy_stream _Nonnull);

size_t envoy_dynamic_module_callback_http_get_body_size(casa_envoy_stream _Nonnull, casa_body);
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(casa_envoy_stream _Nonnull, casa_body);
bool envoy_dynamic_module_callback_http_get_body_chunks(
    casa_envoy_stream _Nonnull, casa_body, casa_bytes *_Nonnull chunks);
/// Whether what arrived just now is what was held back.
bool envoy_dynamic_module_callback_http_received_buffered_request_body(casa_envoy_stream _Nonnull);

void envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
    casa_envoy_stream _Nonnull, casa_bytes space, casa_bytes key, casa_bytes value);

void envoy_dynamic_module_callback_http_send_response(
    casa_envoy_stream _Nonnull, uint32_t status, casa_field *_Nullable fields, size_t count, casa_bytes body,
    casa_bytes details);
void envoy_dynamic_module_callback_http_filter_continue_decoding(casa_envoy_stream _Nonnull);

uint32_t envoy_dynamic_module_callback_http_filter_http_callout(
    casa_envoy_stream _Nonnull, uint64_t *_Nonnull callout, casa_bytes cluster, casa_field *_Nonnull fields,
    size_t count, casa_bytes body, uint64_t timeout_milliseconds);
uint32_t envoy_dynamic_module_callback_http_filter_config_http_callout(
    casa_envoy_config _Nonnull, uint64_t *_Nonnull callout, casa_bytes cluster, casa_field *_Nonnull fields,
    size_t count, casa_bytes body, uint64_t timeout_milliseconds);

casa_envoy_scheduler _Nullable envoy_dynamic_module_callback_http_filter_config_scheduler_new(
    casa_envoy_config _Nonnull);
void envoy_dynamic_module_callback_http_filter_config_scheduler_delete(casa_envoy_scheduler _Nonnull);
/// Has `..._on_http_filter_config_scheduled` called on the main thread. Any thread may call it.
void envoy_dynamic_module_callback_http_filter_config_scheduler_commit(casa_envoy_scheduler _Nonnull, uint64_t event);
