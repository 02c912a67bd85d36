/* Names: what may be asked for, and which addresses the answers give the LLM's name (RFC 1035).
 *
 * Only a question for a permitted name leaves, in a message with nothing else in it but an EDNS record that holds at
 * most a cookie: so no data leaves in names. An answer enters only from the permitted resolver, to the socket that asked,
 * with the number it asked under. Of an answer for the LLM's name, the addresses are admitted that the name has, through
 * any chain of CNAME records that is in the answer itself. */
#ifndef CASA_DNS_H
#define CASA_DNS_H

#include "events.h"
#include "packet.h"

#define DNS_HEADER 12
#define DNS_A 1
#define DNS_CNAME 5
#define DNS_AAAA 28
#define DNS_OPT 41
#define DNS_HTTPS 65
#define DNS_IN 1
#define DNS_OPT_BYTES 11 /* of an option record (RFC 6891) without options */
#define DNS_COOKIE 10    /* the one option that may be in it (RFC 7873): eight bytes, and up to 32 of the server's */
#define DNS_MAX_RECORDS 48
#define DNS_MAX_POINTERS 8

/* One byte of an uncompressed name, into the key from its end. */
__noinline int read_name_byte(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->at >= cursor->end) return 1;
  __u8 byte = scratch_u8(scratch, cursor->at);
  cursor->at += 1;
  if (cursor->label == 0) {
    if (byte == 0) cursor->is_done = 1;
    if (byte == 0 || byte > 63) return 1;
    cursor->label = byte;
  } else {
    cursor->label -= 1;
    byte = lower(byte);
    /* No other byte stands in a host's name; one that equals a label's length would blur where labels end. */
    if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_')) return 1;
  }
  /* Kept from the last place on, so that the name stands there backwards. */
  __u32 to = CASA_MAX_NAME - 3 - cursor->read;
  if (to >= CASA_MAX_NAME - 2) return 1;
  scratch->name.backwards[to] = byte;
  cursor->read += 1;
  return 0;
}
TURN_OF(read_name_byte)

/* Moves the name to the front of the key. */
static long move_name(__u32 i, struct scratch **reading) {
  struct scratch *scratch = *reading;
  __u32 read = scratch->cursor.read;
  __u32 from = CASA_MAX_NAME - 2 - read + i;
  if (i >= read || from >= CASA_MAX_NAME - 2 || i >= CASA_MAX_NAME - 2) return 1;
  scratch->name.backwards[i] = scratch->name.backwards[from];
  return 0;
}

/* What the scratch's workload may do with the name of the question at `DNS_HEADER` of a message of these bytes; the
 * cursor then stands behind the name. */
__noinline int use_of_question(__u32 place, __u32 bytes) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 0;
  struct cursor *cursor = &scratch->cursor;
  cursor->at = DNS_HEADER;
  cursor->end = bytes;
  cursor->label = 0;
  cursor->read = 0;
  cursor->is_done = 0;
  casa_loop(CASA_MAX_NAME + 2, TURN(read_name_byte), &place);
  __u32 read = cursor->read;
  if (!cursor->is_done || read == 0 || read > CASA_MAX_NAME - 3) return 0;
  casa_loop(CASA_MAX_NAME, move_name, &scratch);
  /* The zero behind an exact name, so that "example.com" does not permit "sub.example.com". */
  if (read < CASA_MAX_NAME - 2) scratch->name.backwards[read] = 0;
  __u64 id = bpf_cpu_to_be64(scratch->workload);
  __builtin_memcpy(scratch->name.workload, &id, 8);
  scratch->name.bits = (8 + read + 1) * 8;
  __u32 *use = bpf_map_lookup_elem(&names, &scratch->name);
  return use ? *use : 0;
}

static __noinline int read_question(__u32 place, struct scratch *scratch, struct __sk_buff *skb,
                                    const struct packet *packet, struct socket_state *state) {
  /* Cut up behind this hook, its parts would be questions that nobody read. */
  if (skb->gso_segs > 1) return CASA_DNS_FORM;
  __u32 bytes = load_payload(skb, packet, scratch);
  if (bytes < DNS_HEADER + 5 || bytes != packet->payload_bytes) return CASA_DNS_FORM;
  /* All of it in the packet's own memory: what was sent by reference its sender could still change. */
  if ((void *)(long)skb->data + (packet->payload_offset & 0xff) + (opaque(bytes) & 0xfff) > (void *)(long)skb->data_end)
    return CASA_DNS_FORM;
  /* A query: no answer, opcode 0, one question, no records but at most one in the additional section. */
  if ((SCRATCH_BYTE(scratch, 2) & 0xf8) || scratch_u16(scratch, 4) != 1 || scratch_u16(scratch, 6) ||
      scratch_u16(scratch, 8) || scratch_u16(scratch, 10) > 1)
    return CASA_DNS_FORM;
  __u32 use = use_of_question(place, bytes);
  if (!use) return CASA_DNS_NAME;
  __u32 end = scratch->cursor.at;
  __u32 type = scratch_u16(scratch, end);
  if (end + 4 > bytes || scratch_u16(scratch, end + 2) != DNS_IN) return CASA_DNS_FORM;
  if (type != DNS_A && type != DNS_AAAA && type != DNS_HTTPS) return CASA_DNS_FORM;
  end += 4;
  if (scratch_u16(scratch, 10)) {
    __u32 options = bytes - end - DNS_OPT_BYTES;
    if (bytes < end + DNS_OPT_BYTES || SCRATCH_BYTE(scratch, end) || scratch_u16(scratch, end + 1) != DNS_OPT ||
        scratch_u16(scratch, end + 9) != options)
      return CASA_DNS_FORM;
    __u32 option = end + DNS_OPT_BYTES;
    if (options && (options < 4 + 8 || options > 4 + 40 || scratch_u16(scratch, option) != DNS_COOKIE ||
                    scratch_u16(scratch, option + 2) != options - 4))
      return CASA_DNS_FORM;
  } else if (bytes != end) {
    return CASA_DNS_FORM;
  }
  __u16 id = scratch_u16(scratch, 0);
  for (int i = DNS_QUESTIONS - 1; i > 0; i--) state->questions[i] = state->questions[i - 1];
  state->questions[0].id = id;
  state->questions[0].use = use;
  return 0;
}

/* Judges a question that is about to leave; 0, or why it may not. */
static __always_inline int judge_question(struct __sk_buff *skb, const struct packet *packet,
                                          struct socket_state *state) {
  __u32 place;
  struct scratch *scratch = take_scratch(&place);
  if (!scratch) return CASA_MEMORY;
  scratch->workload = state->workload;
  int refusal = read_question(place, scratch, skb, packet, state);
  give_back(scratch);
  return refusal;
}

/* One step through two names at once, following pointers (RFC 1035, 4.1.4). */
__noinline int compare_name_bytes(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->a >= cursor->end || cursor->b >= cursor->end) return 1;
  __u8 a = scratch_u8(scratch, cursor->a), b = scratch_u8(scratch, cursor->b);
  if (cursor->label) {
    if (lower(a) != lower(b)) return 1;
    cursor->label -= 1;
  } else if (a >= 0xc0 || b >= 0xc0) {
    cursor->pointers += 1;
    if (cursor->pointers > DNS_MAX_POINTERS) return 1;
    if (a >= 0xc0)
      cursor->a = scratch_u16(scratch, cursor->a) & 0x3fff;
    else
      cursor->b = scratch_u16(scratch, cursor->b) & 0x3fff;
    return 0;
  } else {
    if (a != b || a > 63) return 1;
    if (a == 0) {
      cursor->is_same = 1;
      return 1;
    }
    cursor->label = a;
  }
  cursor->a += 1;
  cursor->b += 1;
  return 0;
}
TURN_OF(compare_name_bytes)

/* Whether the name at `a` is the name at `b`. */
__noinline int is_same_name(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 0;
  struct cursor *cursor = &scratch->cursor;
  cursor->label = 0;
  cursor->pointers = 0;
  cursor->is_same = 0;
  casa_loop(CASA_MAX_NAME + 2 * DNS_MAX_POINTERS, TURN(compare_name_bytes), &place);
  return cursor->is_same;
}

/* One label of a name that is passed over. */
__noinline int skip_label(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->at >= cursor->end) return 1;
  __u8 byte = scratch_u8(scratch, cursor->at);
  if (byte > 63 && byte < 0xc0) return 1;
  cursor->at += byte >= 0xc0 ? 2 : 1 + byte;
  cursor->is_done = byte >= 0xc0 || byte == 0;
  return !!cursor->is_done;
}
TURN_OF(skip_label)

/* Whether there was a name, which the cursor then stands behind. */
__noinline int skip_name(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 0;
  scratch->cursor.is_done = 0;
  casa_loop(128, TURN(skip_label), &place);
  return scratch->cursor.is_done;
}

/* Addresses that no public name has: what would lead to the machine's own services, or to nobody. */
static __always_inline int is_reachable_address(const struct casa_address *address) {
  const __u8 *bytes = (const __u8 *)address;
  if (address->words[0] == 0 && address->words[1] == 0) {
    if (address->words[2] == bpf_htonl(0xffff)) {
      __u8 first = bytes[12];
      return first != 0 && first < 224 && !(first == 169 && bytes[13] == 254);
    }
    return address->words[2] != 0 || address->words[3] == bpf_htonl(1);
  }
  return bytes[0] != 0xff && !(bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

static __noinline int admit(casa_workload workload, const struct casa_address *address, __u32 ttl) {
  struct casa_settings *set = current_settings();
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &workload);
  struct casa_admitted *known = bpf_map_lookup_elem(&admitted, &workload);
  if (!set || !policy || !known || !is_reachable_address(address)) return 0;
  __u64 lifetime = (__u64)ttl * 1000000000ULL;
  if (lifetime < set->ttl_floor_ns) lifetime = set->ttl_floor_ns;
  if (lifetime > set->ttl_ceiling_ns) lifetime = set->ttl_ceiling_ns;
  __u64 until = bpf_ktime_get_boot_ns() + lifetime;
  if (known->llm != policy->llm) {
    /* What was admitted under another name is not this one's. */
    for (__u32 i = 0; i < CASA_MAX_ADMITTED; i++) known->admissions[i].until_ns = 0;
    known->llm = policy->llm;
  }
  __u32 place = CASA_MAX_ADMITTED;
  /* Without a branch: from each on the verifier would follow another place through all further turns. */
  for (__u32 i = 0; i < CASA_MAX_ADMITTED; i++) {
    __u32 differing = opaque(differing_bits(&known->admissions[i].address, address));
    __u32 is_other = opaque(differing | -differing) >> 31;
    place = (i & (is_other - 1)) | (place & -is_other);
  }
  if (place >= CASA_MAX_ADMITTED) place = known->next++ & (CASA_MAX_ADMITTED - 1);
  if (place >= CASA_MAX_ADMITTED) return 0;
  struct casa_admission *admission = &known->admissions[place];
  /* Out of force while its address changes. */
  if (!is_same_address(&admission->address, address)) admission->until_ns = 0;
  admission->address = *address;
  admission->until_ns = until;

  struct casa_event *event = begin_event(workload, CASA_EVENT_ADMITTED, CASA_METER_FLOW);
  if (!event) return 0;
  event->remote = *address;
  event->remote_port = policy->llm_port;
  event->duration_ns = lifetime;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

/* One record of an answer. */
__noinline int read_record(__u32 place) {
  struct scratch *scratch = scratch_at(place);
  if (!scratch) return 1;
  struct cursor *cursor = &scratch->cursor;
  if (cursor->left == 0) return 1;
  cursor->left -= 1;
  __u32 owner = cursor->at;
  if (!skip_name(place)) return 1;
  __u32 at = cursor->at;
  if (at + 10 > cursor->end) return 1;
  __u32 type = scratch_u16(scratch, at), class = scratch_u16(scratch, at + 2);
  __u32 ttl = scratch_u16(scratch, at + 4) << 16 | scratch_u16(scratch, at + 6);
  __u32 length = scratch_u16(scratch, at + 8);
  __u32 data = at + 10;
  if (data + length > cursor->end) return 1;
  cursor->at = data + length;
  if (class != DNS_IN || (type != DNS_A && type != DNS_AAAA && type != DNS_CNAME)) return 0;
  cursor->a = owner;
  cursor->b = cursor->owner;
  if (!is_same_name(place)) return 0;
  if (type == DNS_CNAME) {
    cursor->owner = data;
    return 0;
  }
  /* RFC 2181, 8: a lifetime with its highest bit set is zero. */
  if (ttl >> 31) ttl = 0;
  if (data > SCRATCH_BYTES - 16) return 1;
  struct casa_address address;
  if (type == DNS_A && length == 4) {
    __u32 v4;
    __builtin_memcpy(&v4, &scratch->bytes[data], 4);
    set_v4(&address, v4);
  } else if (type == DNS_AAAA && length == 16) {
    __builtin_memcpy(&address, &scratch->bytes[data], 16);
  } else {
    return 0;
  }
  admit(scratch->workload, &address, ttl);
  return 0;
}
TURN_OF(read_record)

static __noinline int read_answer(__u32 place, struct scratch *scratch, struct __sk_buff *skb,
                                  const struct packet *packet, struct socket_state *state) {
  __u32 bytes = load_payload(skb, packet, scratch);
  if (bytes < DNS_HEADER || !(SCRATCH_BYTE(scratch, 2) & 0x80)) return CASA_DNS_FORGED;
  __u16 id = scratch_u16(scratch, 0);
  __u32 use = 0;
  for (int i = 0; i < DNS_QUESTIONS; i++) {
    if (!state->questions[i].use || state->questions[i].id != id) continue;
    use = state->questions[i].use;
    state->questions[i].use = 0;
    break;
  }
  if (!use) return CASA_DNS_FORGED;
  /* NXDOMAIN and the like give no address. A longer answer than the scratch is read as far as it goes. */
  if (use != CASA_NAME_LLM || (SCRATCH_BYTE(scratch, 3) & 0x0f) || scratch_u16(scratch, 4) != 1) return 0;
  if (use_of_question(place, bytes) != CASA_NAME_LLM) return CASA_DNS_FORGED;
  scratch->cursor.at += 4;
  scratch->cursor.owner = DNS_HEADER;
  scratch->cursor.left = scratch_u16(scratch, 6);
  casa_loop(DNS_MAX_RECORDS, TURN(read_record), &place);
  return 0;
}

/* Judges an answer from the permitted resolver, and admits the LLM's addresses; 0, or why it may not enter. */
static __always_inline int judge_answer(struct __sk_buff *skb, const struct packet *packet,
                                        struct socket_state *state) {
  __u32 place;
  struct scratch *scratch = take_scratch(&place);
  if (!scratch) return CASA_MEMORY;
  scratch->workload = state->workload;
  int refusal = read_answer(place, scratch, skb, packet, state);
  give_back(scratch);
  return refusal;
}

#endif
