/* Finds `Authorization: Bearer` in a stream of HTTP/1.1 requests (RFC 9112) and hashes what follows.
 *
 * It reads every byte of a header block once, in the order of the stream, whatever packets it comes in; bodies are
 * skipped by their length. What begins like no request (a response, TLS, HTTP/2) is not read further: tokens in those
 * are what the proxy reports. The token itself leaves the kernel nowhere. */
#ifndef CASA_HTTP_H
#define CASA_HTTP_H

#include "events.h"
#include "packet.h"
#include "sha256.h"

#define MAX_TOKEN_BYTES 4096

enum http_phase {
  HTTP_BEGIN = 0, /* a request is expected */
  HTTP_METHOD,
  HTTP_PATH,
  HTTP_REST_OF_LINE, /* nothing of interest up to its end */
  HTTP_LINE,         /* a header line, or the end of the block, begins */
  HTTP_NAME,
  HTTP_SCHEME_SPACE, /* behind "Authorization:" */
  HTTP_SCHEME,
  HTTP_TOKEN_SPACE, /* behind "Bearer" */
  HTTP_TOKEN,
  HTTP_LENGTH,
  HTTP_ENCODING,
  HTTP_BODY,
  HTTP_CHUNK_SIZE,
  HTTP_CHUNK_EXTENSION,
  HTTP_CHUNK_END, /* the line end behind a chunk's data */
  HTTP_UNREAD,    /* not HTTP/1.1, or no longer */
};

#define HTTP_IS_CHUNKED (1 << 0)
#define HTTP_IS_TRAILER (1 << 1)
#define HTTP_PATH_ENDED (1 << 2)

#define NAME_AUTHORIZATION (1 << 0)
#define NAME_CONTENT_LENGTH (1 << 1)
#define NAME_TRANSFER_ENCODING (1 << 2)

/* The names that are sought, and what is sought in values, each padded to 32 so that an index can be masked. */
static const char text_authorization[32] = "authorization";
static const char text_content_length[32] = "content-length";
static const char text_transfer_encoding[32] = "transfer-encoding";
static const char text_bearer[32] = "bearer";
static const char text_chunked[32] = "chunked";

/* Read at a time. Each turn takes as many or more, but for the last. */
#define CHUNK_BYTES 64
#ifdef CASA_BEFORE_5_17
#define HTTP_MAX_TURNS ((1 << 16) / CHUNK_BYTES + 1) /* no packet is longer there */
#else
#define HTTP_MAX_TURNS (1 << 17)
#endif

static __noinline void tell_token(struct __sk_buff *skb, __u32 place, struct http_reading *http) {
  sha256_end(place, http);
  struct bpf_sock *sk = socket_of(skb);
  struct socket_state *state = sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : 0;
  if (!state) return;
  struct casa_event *event = begin_event(state->workload, CASA_EVENT_TOKEN, CASA_METER_TOKEN);
  if (event) {
    copy_flow(event, state, bpf_get_socket_cookie(skb));
    for (int i = 0; i < 8; i++) *(__u32 *)&event->token[i * 4] = bpf_htonl(http->hash[i]);
    __builtin_memcpy(event->method, http->method, sizeof(event->method));
    __builtin_memcpy(event->path, http->path, sizeof(event->path));
    bpf_ringbuf_submit(event, 0);
  }
  /* The last block holds a piece of the token. */
  __builtin_memset(http->block, 0, sizeof(http->block));
}

static __always_inline void forget_request(struct http_reading *http) {
  http->flags = 0;
  http->body = 0;
  http->method_bytes = 0;
  http->path_bytes = 0;
  __builtin_memset(http->method, 0, sizeof(http->method));
  __builtin_memset(http->path, 0, sizeof(http->path));
}

static __always_inline __u8 phase_after_headers(struct http_reading *http) {
  if (http->flags & HTTP_IS_TRAILER) return HTTP_BEGIN;
  /* With both, the transfer coding counts (RFC 9112, 6.3). */
  if (http->flags & HTTP_IS_CHUNKED) {
    http->body = 0;
    http->candidates = 0;
    return HTTP_CHUNK_SIZE;
  }
  return http->body ? HTTP_BODY : HTTP_BEGIN;
}

static __always_inline int is_of_token(__u8 byte) { return byte > ' ' && byte != ',' && byte != ';'; }

static __always_inline void skip_body(struct http_reading *http, __u32 bytes) {
  http->body -= bytes;
  if (!http->body) http->phase = http->flags & HTTP_IS_CHUNKED ? HTTP_CHUNK_END : HTTP_BEGIN;
}

/* One byte. */
__noinline int read_byte(struct __sk_buff *skb, __u32 place, __u8 byte) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 0;
  struct http_reading *http = &scratch->http;
  switch (http->phase) {
    case HTTP_BEGIN:
      if (byte == '\r' || byte == '\n') return 0;
      forget_request(http);
      if (byte < 'A' || byte > 'Z') {
        http->phase = HTTP_UNREAD;
        return 0;
      }
      http->phase = HTTP_METHOD;
      __attribute__((fallthrough));
    case HTTP_METHOD:
      if (byte == ' ') {
        http->phase = HTTP_PATH;
      } else if (byte < 'A' || byte > 'Z' || http->method_bytes >= CASA_METHOD_BYTES) {
        http->phase = HTTP_UNREAD;
      } else {
        http->method[http->method_bytes & (CASA_METHOD_BYTES - 1)] = byte;
        http->method_bytes += 1;
      }
      return 0;
    case HTTP_PATH:
      if (byte == '\n') {
        http->phase = HTTP_LINE;
      } else if (byte == ' ') {
        http->phase = HTTP_REST_OF_LINE;
      } else if (byte == '?' || byte == '#') {
        http->flags |= HTTP_PATH_ENDED;
      } else if (!(http->flags & HTTP_PATH_ENDED) && http->path_bytes < CASA_PATH_BYTES) {
        http->path[http->path_bytes & (CASA_PATH_BYTES - 1)] = byte;
        http->path_bytes += 1;
      }
      return 0;
    case HTTP_REST_OF_LINE:
      if (byte == '\n') http->phase = HTTP_LINE;
      return 0;
    case HTTP_LINE:
      if (byte == '\r') return 0;
      if (byte == '\n') {
        http->phase = phase_after_headers(http);
        return 0;
      }
      http->phase = HTTP_NAME;
      http->matched = 0;
      http->candidates = NAME_AUTHORIZATION | NAME_CONTENT_LENGTH | NAME_TRANSFER_ENCODING;
      __attribute__((fallthrough));
    case HTTP_NAME: {
      if (byte == '\n') {
        http->phase = HTTP_LINE;
        return 0;
      }
      __u8 at = http->matched & 31;
      if (byte == ':') {
        http->phase = HTTP_REST_OF_LINE;
        if ((http->candidates & NAME_AUTHORIZATION) && at == sizeof("authorization") - 1)
          http->phase = HTTP_SCHEME_SPACE;
        if ((http->candidates & NAME_CONTENT_LENGTH) && at == sizeof("content-length") - 1) {
          http->phase = HTTP_LENGTH;
          http->body = 0;
        }
        if ((http->candidates & NAME_TRANSFER_ENCODING) && at == sizeof("transfer-encoding") - 1)
          http->phase = HTTP_ENCODING;
        http->matched = 0;
        return 0;
      }
      byte = lower(byte);
      if (byte != text_authorization[at]) http->candidates &= ~NAME_AUTHORIZATION;
      if (byte != text_content_length[at]) http->candidates &= ~NAME_CONTENT_LENGTH;
      if (byte != text_transfer_encoding[at]) http->candidates &= ~NAME_TRANSFER_ENCODING;
      http->matched = at + 1;
      if (!http->candidates || at == 31) http->phase = HTTP_REST_OF_LINE;
      return 0;
    }
    case HTTP_SCHEME_SPACE:
      if (byte == ' ' || byte == '\t') return 0;
      http->matched = 0;
      http->phase = HTTP_SCHEME;
      __attribute__((fallthrough));
    case HTTP_SCHEME: {
      if (byte == '\n') {
        http->phase = HTTP_LINE;
        return 0;
      }
      __u8 at = http->matched & 31;
      if ((byte == ' ' || byte == '\t') && at == sizeof("bearer") - 1) {
        http->phase = HTTP_TOKEN_SPACE;
        sha256_begin(http);
      } else if (lower(byte) != text_bearer[at]) {
        http->phase = HTTP_REST_OF_LINE;
      } else {
        http->matched = at + 1;
      }
      return 0;
    }
    case HTTP_TOKEN_SPACE:
      if (byte == ' ' || byte == '\t') return 0;
      http->phase = HTTP_TOKEN;
      __attribute__((fallthrough));
    case HTTP_TOKEN:
      if (is_of_token(byte)) {
        if (http->token_bytes >= MAX_TOKEN_BYTES) {
          struct casa_losses *lost = current_losses();
          if (lost) lost->tokens += 1;
          http->phase = HTTP_REST_OF_LINE;
          return 0;
        }
        sha256_add(place, http, byte);
        return 0;
      }
      if (http->token_bytes) tell_token(skb, place, http);
      http->phase = byte == '\n' ? HTTP_LINE : HTTP_REST_OF_LINE;
      return 0;
    case HTTP_LENGTH:
      if (byte >= '0' && byte <= '9') {
        http->body = http->body * 10 + (byte - '0');
        /* More than anyone sends; a number that ran over would end the body too early. */
        if (http->body >> 56) http->phase = HTTP_UNREAD;
      } else if (byte == '\n') {
        http->phase = HTTP_LINE;
      } else if (byte != ' ' && byte != '\t' && byte != '\r') {
        http->phase = HTTP_UNREAD;
      }
      return 0;
    case HTTP_ENCODING:
      if (byte == '\n') {
        http->phase = HTTP_LINE;
        return 0;
      }
      byte = lower(byte);
      if (byte != text_chunked[http->matched & 31]) http->matched = 0;
      if (byte == text_chunked[http->matched & 31]) http->matched += 1;
      if (http->matched == sizeof("chunked") - 1) {
        http->flags |= HTTP_IS_CHUNKED;
        http->matched = 0;
      }
      return 0;
    case HTTP_CHUNK_SIZE: {
      __u8 digit;
      if (byte >= '0' && byte <= '9')
        digit = byte - '0';
      else if (lower(byte) >= 'a' && lower(byte) <= 'f')
        digit = lower(byte) - 'a' + 10;
      else if (byte == '\n')
        goto chunk_line_ended;
      else {
        http->phase = byte == '\r' || byte == ';' || byte == ' ' || byte == '\t' ? HTTP_CHUNK_EXTENSION : HTTP_UNREAD;
        return 0;
      }
      http->body = http->body << 4 | digit;
      if (http->body >> 56) http->phase = HTTP_UNREAD;
      return 0;
    }
    case HTTP_CHUNK_EXTENSION:
      if (byte != '\n') return 0;
    chunk_line_ended:
      if (http->body) {
        http->phase = HTTP_BODY;
      } else {
        http->flags |= HTTP_IS_TRAILER;
        http->phase = HTTP_LINE;
      }
      return 0;
    case HTTP_CHUNK_END:
      if (byte == '\n')
        http->phase = HTTP_CHUNK_SIZE;
      else if (byte != '\r')
        http->phase = HTTP_UNREAD;
      return 0;
    default: return 0;
  }
}

/* One chunk of the packet, or as much of a body as there is; 1 at the packet's end, or when nothing more is sought. */
__noinline int read_chunk(struct __sk_buff *skb, __u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct http_reading *http = &scratch->http;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->at >= cursor->end || http->phase == HTTP_UNREAD) return 1;
  __u32 left = cursor->end - cursor->at;
  __u32 bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
  if (http->phase == HTTP_BODY && http->body >= bytes) {
    __u32 skipped = http->body < left ? (__u32)http->body : left;
    skip_body(http, skipped);
    cursor->at += skipped;
    return 0;
  }
  bytes = ((bytes - 1) & (CHUNK_BYTES - 1)) + 1;
  if (bpf_skb_load_bytes(skb, cursor->at, scratch->bytes, bytes)) {
    http->phase = HTTP_UNREAD;
    return 1;
  }
  cursor->at += bytes;
  for (__u32 read = 0; read < CHUNK_BYTES; read++) {
    if (read >= bytes) break;
    __u8 byte = scratch->bytes[read & (CHUNK_BYTES - 1)];
    __u32 used = http->token_bytes & 63;
    if (http->phase == HTTP_BODY) {
      skip_body(http, 1);
    } else if (http->phase == HTTP_TOKEN && is_of_token(byte) && used && used < 63) {
      /* As read_byte does, without the call: most bytes are such. Within a block no token comes to its longest. */
      http->block[used] = byte;
      http->token_bytes += 1;
    } else {
      read_byte(skb, place, byte);
    }
  }
  return 0;
}

struct http_loop {
  struct __sk_buff *skb;
  __u32 place;
};
static long walk_chunk(__u32 i, struct http_loop *loop) { return opaque(read_chunk(loop->skb, loop->place)) & 1; }

/* Reads a packet's payload on, if it is the next of the stream. 0, or -1 when it came before another that is missing,
 * or there is no scratch free: it must be sent again, so that nothing is read out of order. */
static __noinline int read_requests(struct __sk_buff *skb, const struct packet *packet, struct socket_state *state) {
  struct http_reading *http = &state->http;
  if (packet->payload_bytes == 0) return 0;
  if (http->next_sequence == 0) http->next_sequence = packet->sequence; /* the first that is seen of it */
  __s32 ahead = packet->sequence - http->next_sequence;
  if (ahead > 0) return -1;
  __u32 skipped = -ahead;
  if (skipped >= packet->payload_bytes) return 0; /* sent again */
  struct http_loop loop = {.skb = skb};
  struct scratch *scratch = take_scratch(&loop.place);
  if (!scratch) return -1;
  scratch->http = *http;
  scratch->http.next_sequence = packet->sequence + packet->payload_bytes;
  scratch->cursor.at = packet->payload_offset + skipped;
  scratch->cursor.end = packet->payload_offset + packet->payload_bytes;
  casa_loop(HTTP_MAX_TURNS, walk_chunk, &loop);
  if (scratch->cursor.at < scratch->cursor.end && scratch->http.phase != HTTP_UNREAD) {
    /* A packet of more bytes than turns. */
    struct casa_losses *lost = current_losses();
    if (lost) lost->tokens += 1;
    scratch->http.phase = HTTP_UNREAD;
  }
  *http = scratch->http;
  /* A piece of a token may be there. */
  __builtin_memset(&scratch->http, 0, sizeof(scratch->http));
  __builtin_memset(scratch->bytes, 0, CHUNK_BYTES);
  if (http->phase == HTTP_UNREAD) state->flags |= SOCKET_UNREAD;
  give_back(scratch);
  return 0;
}

#endif
