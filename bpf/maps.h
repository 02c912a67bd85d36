/* The maps, and the state that is kept for each socket. */
#ifndef CASA_MAPS_H
#define CASA_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "casa_kernel.h"

/* These programs are compiled twice: with CASA_BEFORE_5_17 for kernels that have no bpf_loop. There the verifier walks
 * each turn of a loop. So what a turn does is a function that is not static: such a one is verified once, by itself.
 * Kernels before 5.12 give those functions no pointers but the program's own context, so they are told by number which
 * scratch they work in. */
#ifdef CASA_BEFORE_5_17
#define casa_loop(times, step, context)                                              \
  do {                                                                               \
    _Pragma("clang loop unroll(disable)") for (__u32 i_ = 0; i_ < (times); i_++)     \
      if (step(i_, context)) break;                                                  \
  } while (0)
#else
#define casa_loop(times, step, context) bpf_loop(times, step, context, 0)
#endif

/* What the compiler then knows nothing of: it would take out bounds that it can prove, and the verifier can't. */
#define opaque(value)                  \
  ({                                   \
    typeof(value) value_ = (value);    \
    asm volatile("" : "+r"(value_));   \
    value_;                            \
  })

/* A function of a scratch's number as a turn of casa_loop: 1 ends the loop. */
#define TURN(function) function##_turn
#define TURN_OF(function) \
  static long TURN(function)(__u32 i, __u32 *place) { return opaque(function(*place)) & 1; }

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_CGROUPS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64); /* cgroup id */
  __type(value, casa_workload);
} cgroups SEC(".maps");

/* Processes by thread group id. Who once was of a workload stays of it, wherever it is moved. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_MEMBERS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, casa_workload);
} members SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_WORKLOADS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, casa_workload);
  __type(value, struct casa_policy);
} policies SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, CASA_MAX_NAMES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct casa_name_key);
  __type(value, __u32); /* enum casa_name_use */
} names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_WORKLOADS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, casa_workload);
  __type(value, struct casa_admitted);
} admitted SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_WORKLOADS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, casa_workload);
  __type(value, struct casa_llm_name);
} llm_names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CASA_MAX_WORKLOADS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, casa_workload);
  __type(value, struct casa_meter);
} meters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct casa_settings);
} settings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct casa_losses);
} losses SEC(".maps");

/* Who sent a datagram that an inbound rule permits: an answer may go there. What is pushed out, or was too long ago, is
 * asked for again. */
#define ANSWER_NS 30000000000ULL
struct datagram_peer {
  __u64 cookie; /* of the socket that it came to */
  struct casa_address address;
  __u32 port;
  __u32 padding;
};
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 65536);
  __type(key, struct datagram_peer);
  __type(value, __u64); /* when */
} datagram_peers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, CASA_EVENT_BYTES);
} events SEC(".maps");

/* Where a packet is copied to be read, since the stack holds 512 bytes. A program may be interrupted, on its processor,
 * by another that reads a packet too, so each takes a place for itself and gives it back; when none is free the packet
 * is refused. */
#define SCRATCH_BYTES 4096
#define SCRATCHES 512 /* so that processors have some of their own, up to 64 of them */
#define SCRATCH_TRIES 8
/* Where the loops that read a packet stand. Not on the stack: the verifier follows what is there through every turn of a
 * loop, and here it takes every number as possible at once. */
struct cursor {
  __u32 at, end;
  __u32 label; /* bytes of a name's label that are left */
  __u32 read;  /* bytes of a name that were read */
  __u32 owner; /* where the name stands whose records count */
  __u32 left;  /* records that are left */
  __u32 a, b;  /* two names that are compared */
  __u32 pointers;
  __u32 name, name_bytes;
  __u32 is_done, is_same, is_hidden, is_doubled;
};

/* Where a reader of HTTP/1.1 requests stands in a stream of bytes; the phases are in http.h. */
struct http_reading {
  __u32 next_sequence; /* TCP's number of the next byte */
  __u8 phase;
  __u8 candidates; /* the header names that still match */
  __u8 matched;    /* bytes of a name that match */
  __u8 flags;
  __u64 body; /* bytes of the body, or of its chunk, that are left */
  __u32 token_bytes;
  __u8 method_bytes;
  __u8 path_bytes;
  __u8 padding[2];
  __u8 method[CASA_METHOD_BYTES];
  __u8 path[CASA_PATH_BYTES];
  __u32 hash[8]; /* SHA-256 of the token so far */
  __u8 block[64];
};

struct scratch {
  struct bpf_spin_lock lock;
  __u32 is_taken;
  struct cursor cursor;
  casa_workload workload; /* for whom a packet is read */
  struct casa_name_key name;
  struct http_reading http; /* the socket's, while a packet is read */
  __u8 bytes[SCRATCH_BYTES];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SCRATCHES);
  __type(key, __u32);
  __type(value, struct scratch);
} scratches SEC(".maps");

struct dns_question {
  __u16 id;
  __u8 use; /* enum casa_name_use; 0: none is asked */
  __u8 padding;
};

/* struct socket_state.flags */
#define SOCKET_STRAY (1 << 0)         /* its workload is its process's, not its cgroup's */
#define SOCKET_OPENED (1 << 1)        /* the flow's event was sent */
#define SOCKET_REFUSAL_TOLD (1 << 2)  /* a refused packet of this flow was reported */
#define SOCKET_HELLO_PENDING (1 << 3) /* its first bytes must name the LLM's host */
#define SOCKET_OBSERVED (1 << 4)      /* it would have been refused, but the policy only observes */
#define SOCKET_RELEASED (1 << 5)      /* its owner closed it: what still goes over it is not told */
#define SOCKET_UNREAD (1 << 6)        /* no header is sought in it any more */

#define DNS_QUESTIONS 4

struct socket_state {
  /* What the next packet of a flow that is known needs comes first: it is in one line of the processor's cache, with
   * the kernel's own eight bytes before it. */
  __u64 identities; /* casa_settings.identities by which `workload` was found */
  struct casa_address remote;
  __u16 remote_port;
  __u8 protocol;
  __u8 direction;
  __u8 verdict; /* enum casa_reason; 0: not judged */
  __u8 flags;
  __u16 rule;
  __u64 bytes_out, packets_out;
  __u64 bytes_in, packets_in;
  casa_workload workload;
  __u64 generation; /* of the policy that it was judged by */
  __u64 llm;        /* for CASA_BY_LLM: which */
  __u64 started_ns;
  struct casa_address local;
  __u16 local_port;
  __u8 padding[6];
  struct dns_question questions[DNS_QUESTIONS];
  struct http_reading http;
};

/* A socket that a listener accepts begins with a copy of the listener's: so it is of the same workload. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
  __type(key, int);
  __type(value, struct socket_state);
} sockets SEC(".maps");

static __always_inline struct casa_settings *current_settings(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct scratch *scratch_at(__u32 place) { return bpf_map_lookup_elem(&scratches, &place); }

/* The scratch's number is its `place`. */
static __always_inline struct scratch *take_scratch(__u32 *place) {
  __u32 first = bpf_get_smp_processor_id() * SCRATCH_TRIES;
  for (__u32 i = 0; i < SCRATCH_TRIES; i++) {
    *place = (first + i) % SCRATCHES;
    struct scratch *scratch = scratch_at(*place);
    if (!scratch) return 0;
    bpf_spin_lock(&scratch->lock);
    __u32 was_taken = scratch->is_taken;
    scratch->is_taken = 1;
    bpf_spin_unlock(&scratch->lock);
    if (!was_taken) return scratch;
  }
  return 0;
}

static __always_inline void give_back(struct scratch *scratch) {
  bpf_spin_lock(&scratch->lock);
  scratch->is_taken = 0;
  bpf_spin_unlock(&scratch->lock);
}

/* The socket of a packet; a whole one, as the hooks for packets are given no others. */
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb) {
  struct bpf_sock *sk = skb->sk;
#ifdef CASA_BEFORE_5_17
  /* Kernels before 5.10 want to hear it. */
  if (sk) sk = bpf_sk_fullsock(sk);
#endif
  return sk;
}

static __always_inline struct casa_losses *current_losses(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&losses, &zero);
}

static __always_inline __u32 differing_bits(const struct casa_address *a, const struct casa_address *b) {
  return (a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) | (a->words[2] ^ b->words[2]) |
         (a->words[3] ^ b->words[3]);
}
static __always_inline int is_same_address(const struct casa_address *a, const struct casa_address *b) {
  return differing_bits(a, b) == 0;
}

/* `v4` in network order. */
static __always_inline void set_v4(struct casa_address *address, __u32 v4) {
  address->words[0] = 0;
  address->words[1] = 0;
  address->words[2] = bpf_htonl(0xffff);
  address->words[3] = v4;
}

static __always_inline int is_loopback(const struct casa_address *address) {
  if (address->words[0] || address->words[1]) return 0;
  if (address->words[2] == bpf_htonl(0xffff)) return (address->words[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
  return !address->words[2] && address->words[3] == bpf_htonl(1);
}

static __always_inline __u8 lower(__u8 byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

#endif
