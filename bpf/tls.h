/* The host that a TLS ClientHello names (RFC 8446, 4.1.2; RFC 6066, 3). */
#ifndef CASA_TLS_H
#define CASA_TLS_H

#include "packet.h"

#define TLS_MAX_EXTENSIONS 64
#define TLS_SERVER_NAME 0
/* With an encrypted ClientHello the named host is not the one that is meant. */
#define TLS_ENCRYPTED_CLIENT_HELLO 0xfe0d

/* One extension. */
__noinline int read_extension(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->at == cursor->end) {
    cursor->is_done = 1;
    return 1;
  }
  if (cursor->at + 4 > cursor->end) return 1;
  __u32 type = scratch_u16(scratch, cursor->at), length = scratch_u16(scratch, cursor->at + 2);
  __u32 data = cursor->at + 4;
  if (data + length > cursor->end) return 1;
  cursor->at = data + length;
  if (type == TLS_ENCRYPTED_CLIENT_HELLO) cursor->is_hidden = 1;
  if (type != TLS_SERVER_NAME) return 0;
  if (cursor->name) cursor->is_doubled = 1;
  /* A list of exactly one host name. */
  if (length < 6 || scratch_u16(scratch, data) != length - 2 || scratch_u8(scratch, data + 2) ||
      scratch_u16(scratch, data + 3) != length - 5)
    return 1;
  cursor->name = data + 5;
  cursor->name_bytes = length - 5;
  return 0;
}
TURN_OF(read_extension)

struct host_loop {
  struct scratch *scratch;
  const struct casa_llm_name *host;
};
static long compare_host(__u32 i, struct host_loop *loop) {
  struct cursor *cursor = &loop->scratch->cursor;
  if (i >= cursor->name_bytes) {
    cursor->is_same = 1;
    return 1;
  }
  return lower(scratch_u8(loop->scratch, cursor->name + i)) != loop->host->text[i & 255];
}

/* Whether the name that was found is the LLM's host; 0, or why it may not be. */
__noinline int judge_host(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return CASA_SNI_OTHER;
  struct cursor *cursor = &scratch->cursor;
  struct casa_llm_name *host = bpf_map_lookup_elem(&llm_names, &scratch->workload);
  if (!host || cursor->name_bytes != host->length) return CASA_SNI_OTHER;
  struct host_loop loop = {.scratch = scratch, .host = host};
  cursor->is_same = 0;
  casa_loop(256, compare_host, &loop);
  return cursor->is_same ? 0 : CASA_SNI_OTHER;
}

static __noinline int read_hello(__u32 place, struct scratch *scratch, struct __sk_buff *skb,
                                 const struct packet *packet) {
  __u32 bytes = load_payload(skb, packet, scratch);
  /* One record of the handshake with the whole ClientHello in it. */
  if (bytes < 5 + 4 + 2 + 32 + 1 || SCRATCH_BYTE(scratch, 0) != 22 || SCRATCH_BYTE(scratch, 1) != 3 ||
      SCRATCH_BYTE(scratch, 5) != 1)
    return CASA_SNI_MISSING;
  __u32 record = scratch_u16(scratch, 3);
  __u32 hello = (__u32)SCRATCH_BYTE(scratch, 6) << 16 | scratch_u16(scratch, 7);
  if (record + 5 > bytes || hello + 4 != record) return CASA_SNI_MISSING;
  __u32 end = record + 5;
  __u32 at = 5 + 4 + 2 + 32;
  at += 1 + SCRATCH_BYTE(scratch, at); /* session id */
  if (at + 2 > end) return CASA_SNI_MISSING;
  at += 2 + scratch_u16(scratch, at); /* cipher suites */
  if (at + 1 > end) return CASA_SNI_MISSING;
  at += 1 + SCRATCH_BYTE(scratch, at); /* compression methods */
  if (at + 2 > end || at + 2 + scratch_u16(scratch, at) != end) return CASA_SNI_MISSING;
  struct cursor *cursor = &scratch->cursor;
  cursor->at = at + 2;
  cursor->end = end;
  cursor->name = 0;
  cursor->is_done = 0;
  cursor->is_hidden = 0;
  cursor->is_doubled = 0;
  casa_loop(TLS_MAX_EXTENSIONS, TURN(read_extension), &place);
  if (!cursor->is_done || cursor->is_hidden || cursor->is_doubled || !cursor->name) return CASA_SNI_MISSING;
  return judge_host(place);
}

/* Judges the first bytes of a connection to the LLM; 0, or why they may not leave. */
static __always_inline int judge_hello(struct __sk_buff *skb, const struct packet *packet, casa_workload workload) {
  __u32 place;
  struct scratch *scratch = take_scratch(&place);
  if (!scratch) return CASA_MEMORY;
  scratch->workload = workload;
  int refusal = read_hello(place, scratch, skb, packet);
  give_back(scratch);
  return refusal;
}

#endif
