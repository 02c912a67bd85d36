/* The kernel programs of CASA's node guard. They are attached at the root of the cgroup hierarchy, find for each socket
 * whose it is, and deny what its workload's policy does not permit. What is no workload's passes.
 *
 * The programs decide from the maps alone, which stay pinned: they hold with the guard, the proxies and the runtime
 * stopped. */
#include "dns.h"
#include "events.h"
#include "http.h"
#include "identity.h"
#include "maps.h"
#include "packet.h"
#include "process.h"
#include "tls.h"
#include "verdict.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ALLOW 1
#define DENY 0

/* Refuses, unless the workload is only observed; either way it is told. */
static __always_inline int refuse(struct refusal *refusal, const struct casa_policy *policy) {
  refusal->observed_only = policy && (policy->flags & CASA_OBSERVE_ONLY);
  tell_refusal(refusal);
  return refusal->observed_only ? ALLOW : DENY;
}

/* Sockets */

SEC("cgroup/sock_create")
int casa_sock_create(struct bpf_sock *sk) {
  casa_workload workload = workload_of_current();
  if (!workload) return ALLOW;
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &workload);
  struct refusal refusal = {.workload = workload, .hook = CASA_HOOK_CREATE, .has_process = 1};
  refusal.detail = sk->type << 16 | (sk->protocol & 0xffff);
  /* Neither raw sockets, nor ping's, nor protocols like MPTCP and SMC that open connections of their own. */
  int is_plain = (sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP) ||
                 (sk->type == SOCK_DGRAM && sk->protocol == IPPROTO_UDP);
  if (!is_plain) {
    refusal.reason = CASA_TYPE;
    if (!refuse(&refusal, policy)) return DENY;
  }
  struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  struct casa_settings *set = current_settings();
  if (!state || !set) {
    refusal.reason = CASA_MEMORY;
    return refuse(&refusal, policy);
  }
  state->workload = workload;
  state->identities = set->identities;
  if (workload != workload_of_current_cgroup()) state->flags |= SOCKET_STRAY;
  return ALLOW;
}

SEC("cgroup/sock_release")
int casa_sock_release(struct bpf_sock *sk) {
  struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
  if (!state) return ALLOW;
  state->flags |= SOCKET_RELEASED;
  if (state->flags & SOCKET_OPENED) {
    state->flags &= ~SOCKET_OPENED;
    tell_flow(state, bpf_get_socket_cookie(sk), CASA_EVENT_CLOSED);
  }
  return ALLOW;
}

/* What a process asks for */

/* Whose call it is: the process's, where it is a workload's; else the socket's owner's, so that a socket handed out of a
 * workload stays under its rules. */
static __always_inline casa_workload workload_of_call(struct bpf_sock_addr *ctx, struct socket_state **state) {
  *state = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, 0) : 0;
  casa_workload caller = workload_of_current();
  if (caller) return caller;
  return *state ? (*state)->workload : 0;
}

static __noinline int refuse_call(struct bpf_sock_addr *ctx, const struct casa_address *remote,
                                  casa_workload workload, const struct casa_policy *policy, int hook_and_reason) {
  struct refusal refusal = {
      .workload = workload,
      .remote = *remote,
      .remote_port = bpf_ntohs(ctx->user_port),
      .hook = hook_and_reason >> 8,
      .direction = CASA_OUTBOUND,
      .protocol = ctx->protocol,
      .reason = hook_and_reason & 0xff,
      .has_process = 1,
  };
  return refuse(&refusal, policy);
}

static __always_inline int judge_call(struct bpf_sock_addr *ctx, const struct casa_address *remote, __u8 hook) {
  struct socket_state *state;
  casa_workload workload = workload_of_call(ctx, &state);
  if (!workload) return ALLOW;
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &workload);
  if (!policy) return refuse_call(ctx, remote, workload, 0, hook << 8 | CASA_NO_POLICY);
  struct question asked = {
      .remote = *remote,
      .workload = workload,
      .remote_port = bpf_ntohs(ctx->user_port),
      .direction = CASA_OUTBOUND,
      .protocol = ctx->protocol,
  };
  __u8 reason = VERDICT_REASON(judge(policy, &asked, 0));
  if (!is_allowed(reason)) return refuse_call(ctx, remote, workload, policy, hook << 8 | reason);
  if (state && hook == CASA_HOOK_CONNECT) {
    state->direction = CASA_OUTBOUND;
    /* What was found of a connection before counts for that one only, to the same address too. */
    state->verdict = 0;
  }
  return ALLOW;
}

static __always_inline void remote_v4(struct bpf_sock_addr *ctx, struct casa_address *address) {
  set_v4(address, ctx->user_ip4);
}
static __always_inline void remote_v6(struct bpf_sock_addr *ctx, struct casa_address *address) {
  address->words[0] = ctx->user_ip6[0];
  address->words[1] = ctx->user_ip6[1];
  address->words[2] = ctx->user_ip6[2];
  address->words[3] = ctx->user_ip6[3];
}

#define CALL_HOOK(section, name, remote_of, hook)       \
  SEC(section) int name(struct bpf_sock_addr *ctx) {    \
    struct casa_address remote;                         \
    remote_of(ctx, &remote);                            \
    return judge_call(ctx, &remote, hook);              \
  }
CALL_HOOK("cgroup/connect4", casa_connect4, remote_v4, CASA_HOOK_CONNECT)
CALL_HOOK("cgroup/connect6", casa_connect6, remote_v6, CASA_HOOK_CONNECT)
CALL_HOOK("cgroup/sendmsg4", casa_sendmsg4, remote_v4, CASA_HOOK_SEND)
CALL_HOOK("cgroup/sendmsg6", casa_sendmsg6, remote_v6, CASA_HOOK_SEND)

/* Port 0 leaves the choice to the kernel. Any other needs an inbound rule for it, or `bind: any`, which does not cover
 * the ports that name servers answer from. */
static __always_inline int judge_bind(struct bpf_sock_addr *ctx, const struct casa_address *local) {
  struct socket_state *state;
  casa_workload workload = workload_of_call(ctx, &state);
  __u16 port = bpf_ntohs(ctx->user_port);
  if (!workload || !port) return ALLOW;
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &workload);
  struct refusal refusal = {
      .workload = workload,
      .local = *local,
      .local_port = port,
      .hook = CASA_HOOK_BIND,
      .direction = CASA_INBOUND,
      .protocol = ctx->protocol,
      .reason = policy ? CASA_BIND : CASA_NO_POLICY,
      .has_process = 1,
  };
  if (policy) {
    struct casa_settings *set = current_settings();
    if ((policy->flags & CASA_BIND_ANY) && port != 53 && set && port != set->resolver_port) return ALLOW;
    for (__u32 i = 0; i < CASA_MAX_RULES; i++) {
      if (i >= policy->rule_count) break;
      const struct casa_rule *rule = &policy->rules[i];
      if (rule->direction == CASA_INBOUND && rule->protocol == ctx->protocol && port >= rule->first_port &&
          port <= rule->last_port)
        return ALLOW;
    }
  }
  return refuse(&refusal, policy);
}
#define BIND_HOOK(section, name, local_of)           \
  SEC(section) int name(struct bpf_sock_addr *ctx) { \
    struct casa_address local;                       \
    local_of(ctx, &local);                           \
    return judge_bind(ctx, &local);                  \
  }
BIND_HOOK("cgroup/bind4", casa_bind4, remote_v4)
BIND_HOOK("cgroup/bind6", casa_bind6, remote_v6)

/* Packets */

/* Begins the state's flow anew, towards what the packet says. */
static __always_inline void begin_flow(struct socket_state *state, const struct packet *packet, int outbound) {
  state->verdict = 0;
  state->rule = 0;
  state->flags &= SOCKET_STRAY | SOCKET_RELEASED;
  state->bytes_out = state->bytes_in = state->packets_out = state->packets_in = 0;
  state->started_ns = bpf_ktime_get_boot_ns();
  state->protocol = packet->protocol;
  state->local = outbound ? packet->source : packet->destination;
  state->remote = outbound ? packet->destination : packet->source;
  state->local_port = outbound ? packet->source_port : packet->destination_port;
  state->remote_port = outbound ? packet->destination_port : packet->source_port;
  state->http.phase = HTTP_BEGIN;
  state->http.next_sequence = 0;
}

static __always_inline struct datagram_peer peer_of(const struct socket_state *state, struct __sk_buff *skb) {
  struct datagram_peer peer = {.cookie = bpf_get_socket_cookie(skb), .address = state->remote, .port = state->remote_port};
  return peer;
}

static __noinline void keep_peer(struct socket_state *state, struct __sk_buff *skb) {
  struct datagram_peer peer = peer_of(state, skb);
  __u64 now = bpf_ktime_get_boot_ns();
  bpf_map_update_elem(&datagram_peers, &peer, &now, BPF_ANY);
}

/* Whether a datagram answers one that an inbound rule let in, and still would. */
static __noinline void judge_reply(struct socket_state *state, struct __sk_buff *skb,
                                   const struct casa_policy *policy) {
  struct datagram_peer peer = peer_of(state, skb);
  __u64 *when = bpf_map_lookup_elem(&datagram_peers, &peer);
  if (!when || bpf_ktime_get_boot_ns() - *when > ANSWER_NS) return;
  __u32 rule = permitting_rule(policy, &state->remote, state->local_port, CASA_INBOUND, IPPROTO_UDP);
  if (!rule) return;
  state->direction = CASA_INBOUND;
  state->verdict = CASA_BY_REPLY;
  state->rule = rule;
}

/* Judges the flow of the packet's socket by its workload's policy. Not static, so that the verifier walks through it
 * once, and not for all that can come before it. */
__noinline int judge_flow(struct __sk_buff *skb, __u32 outbound) {
  struct bpf_sock *sk = socket_of(skb);
  struct socket_state *state = sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : 0;
  if (!state) return 0;
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &state->workload);
  if (!policy) {
    state->verdict = CASA_NO_POLICY;
    return 0;
  }
  /* What the LLM's name had when the connection began serves it to its end, as long as it is the LLM's name. */
  if (state->verdict == CASA_BY_LLM && state->llm == policy->llm) {
    state->generation = policy->generation;
    return 0;
  }
  struct question asked = {
      .remote = state->remote,
      .workload = state->workload,
      .remote_port = state->remote_port,
      .local_port = state->local_port,
      .direction = state->direction,
      .protocol = state->protocol,
  };
  if (!asked.direction) {
    /* An accepted connection, or one from before the guard: by what permits it, it is known what it is. */
    asked.direction = CASA_INBOUND;
    __u32 inbound = judge(policy, &asked, 1);
    if (is_allowed(VERDICT_REASON(inbound))) {
      state->direction = CASA_INBOUND;
      state->verdict = VERDICT_REASON(inbound);
      state->rule = VERDICT_RULE(inbound);
      state->generation = policy->generation;
      return 0;
    }
    asked.direction = CASA_OUTBOUND;
  }
  __u32 verdict = judge(policy, &asked, 1);
  state->direction = asked.direction;
  state->verdict = VERDICT_REASON(verdict);
  state->rule = VERDICT_RULE(verdict);
  state->generation = policy->generation;
  state->flags &= ~SOCKET_REFUSAL_TOLD;
  if (state->verdict == CASA_BY_LLM) {
    state->llm = policy->llm;
    if (policy->flags & CASA_LLM_TLS) state->flags |= SOCKET_HELLO_PENDING;
  }
  if (outbound && asked.protocol == IPPROTO_UDP && !is_allowed(state->verdict)) judge_reply(state, skb, policy);
  return 0;
}

/* The rule by which the address of these halves may begin a connection to a port that the packet's socket has. */
__noinline int listener_rule(struct __sk_buff *skb, __u64 high, __u64 low, __u32 port) {
  struct bpf_sock *sk = socket_of(skb);
  struct socket_state *state = sk ? bpf_sk_storage_get(&sockets, sk, 0, 0) : 0;
  if (!state) return 0;
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &state->workload);
  if (!policy) return 0;
  struct casa_address remote = {.words = {high, high >> 32, low, low >> 32}};
  return permitting_rule(policy, &remote, port, CASA_INBOUND, IPPROTO_TCP);
}

static __noinline int refuse_packet(struct socket_state *state, struct __sk_buff *skb, const struct packet *packet,
                                    const struct casa_policy *policy, int outbound_and_reason) {
  int outbound = outbound_and_reason >> 8;
  int observed = policy && (policy->flags & CASA_OBSERVE_ONLY);
  /* One report for a flow and a reason: a refused packet is sent again many times. */
  if (state) {
    if (state->flags & SOCKET_REFUSAL_TOLD) return observed ? ALLOW : DENY;
    state->flags |= SOCKET_REFUSAL_TOLD;
    if (observed) state->flags |= SOCKET_OBSERVED;
  }
  struct refusal refusal = {
      .workload = packet->workload,
      .local = outbound ? packet->source : packet->destination,
      .remote = outbound ? packet->destination : packet->source,
      .local_port = outbound ? packet->source_port : packet->destination_port,
      .remote_port = outbound ? packet->destination_port : packet->source_port,
      .cookie = bpf_get_socket_cookie(skb),
      .hook = outbound ? CASA_HOOK_EGRESS : CASA_HOOK_INGRESS,
      .reason = outbound_and_reason & 0xff,
      .direction = state && state->direction ? state->direction : outbound ? CASA_OUTBOUND : CASA_INBOUND,
      .protocol = packet->protocol,
  };
  return refuse(&refusal, policy);
}

/* Whether the packet goes where this flow was last found allowed to go, by what is still the policy. */
static __always_inline int is_known_flow(const struct socket_state *state, const struct casa_settings *set,
                                         const struct packet *packet, int outbound) {
  return state->identities == set->identities && is_allowed(state->verdict) && state->protocol == IPPROTO_TCP &&
         packet->protocol == IPPROTO_TCP && (state->flags & (SOCKET_OPENED | SOCKET_RELEASED)) &&
         !(state->flags & SOCKET_HELLO_PENDING) &&
         (!outbound || (!packet->is_syn && state->remote_port == packet->destination_port &&
                        is_same_address(&state->remote, &packet->destination)));
}

/* Finds or makes the state of a socket that is a workload's, and judges the packet by it. */
static __always_inline int judge_unknown(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *state,
                                         const struct casa_settings *set, struct packet *packet, int outbound) {
  if (state && (state->identities == set->identities || (state->flags & SOCKET_STRAY))) {
    packet->workload = state->workload;
  } else if (state) {
    packet->workload = workload_of_packet(skb);
    if (!packet->workload) {
      /* No longer guarded. */
      bpf_sk_storage_delete(&sockets, sk);
      return ALLOW;
    }
  }
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &packet->workload);
  if (!packet->protocol) return refuse_packet(state, skb, packet, policy, outbound << 8 | CASA_PACKET);
  if (!state) state = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!state) return refuse_packet(0, skb, packet, policy, outbound << 8 | CASA_MEMORY);
  if (state->workload != packet->workload) state->verdict = 0;
  state->workload = packet->workload;
  state->identities = set->identities;
  if (!policy) return refuse_packet(state, skb, packet, policy, outbound << 8 | CASA_NO_POLICY);

  const struct casa_address *remote = outbound ? &packet->destination : &packet->source;
  __u16 remote_port = outbound ? packet->destination_port : packet->source_port;

  if (packet->protocol == IPPROTO_TCP) {
    if (sk->state == BPF_TCP_LISTEN) {
      /* Who may begin a connection here; what is accepted then gets a state of its own. */
      __u16 local_port = outbound ? packet->source_port : packet->destination_port;
      __u64 high = remote->words[0] | (__u64)remote->words[1] << 32;
      __u64 low = remote->words[2] | (__u64)remote->words[3] << 32;
      if (listener_rule(skb, high, low, local_port)) return ALLOW;
      return refuse_packet(0, skb, packet, policy, outbound << 8 | CASA_NO_RULE);
    }
    int is_other = !is_same_address(&state->remote, remote) || state->remote_port != remote_port;
    /* An answer may bear another address than was asked, when the packet filter redirects: the flow is what left. */
    int begins = !state->protocol || (outbound && (packet->is_syn ? is_other || !state->verdict : is_other));
    if (begins) {
      /* Once a process asked for a connection it is outbound, even if its first packet is none that begins one. */
      __u8 direction = outbound && packet->is_syn ? CASA_OUTBOUND : state->direction;
      if (state->flags & SOCKET_OPENED) tell_flow(state, bpf_get_socket_cookie(skb), CASA_EVENT_CLOSED);
      begin_flow(state, packet, outbound);
      state->direction = direction;
    }
    if (!state->verdict || state->generation != policy->generation) judge_flow(skb, outbound);
  } else {
    int is_other = state->protocol != IPPROTO_UDP || !is_same_address(&state->remote, remote) ||
                   state->remote_port != remote_port;
    if (is_other) {
      if (state->flags & SOCKET_OPENED) tell_flow(state, bpf_get_socket_cookie(skb), CASA_EVENT_CLOSED);
      begin_flow(state, packet, outbound);
      state->direction = 0;
    }
    if (!state->verdict || state->generation != policy->generation) {
      /* A datagram enters by an inbound rule, or from whom one may be sent to; it leaves to whom one may be sent to, or
       * as the answer to one that entered. */
      state->direction = outbound ? CASA_OUTBOUND : 0;
      judge_flow(skb, outbound);
    }
    if (!outbound && state->direction == CASA_INBOUND && is_allowed(state->verdict)) keep_peer(state, skb);
  }
  if (!is_allowed(state->verdict)) {
    __u8 reason = state->verdict;
    int passes = refuse_packet(state, skb, packet, policy, outbound << 8 | reason);
    /* Judged again by the next packet, since what is refused now may be admitted then. */
    state->verdict = 0;
    if (!passes) return DENY;
  } else if (state->verdict == CASA_BY_RESOLVER ||
             /* By the packet itself: of one socket another thread's packet may be judged at the same time. */
             (outbound && packet->protocol == IPPROTO_UDP && is_resolver(remote, remote_port))) {
    int refusal = 0;
    if (outbound)
      refusal = judge_question(skb, packet, state);
    else if (skb->ifindex == 1 && !is_loopback(&state->remote))
      refusal = CASA_DNS_FORGED; /* from this machine, in the name of a resolver that is elsewhere */
    else
      refusal = judge_answer(skb, packet, state);
    if (refusal) {
      state->flags &= ~SOCKET_REFUSAL_TOLD;
      if (!refuse_packet(state, skb, packet, policy, outbound << 8 | refusal)) return DENY;
    }
  } else if (state->flags & SOCKET_HELLO_PENDING && outbound && packet->payload_bytes) {
    int refusal = judge_hello(skb, packet, packet->workload);
    if (refusal && !refuse_packet(state, skb, packet, policy, outbound << 8 | refusal)) return DENY;
    state->flags &= ~SOCKET_HELLO_PENDING;
  }
  if (!(state->flags & (SOCKET_OPENED | SOCKET_RELEASED))) {
    state->flags |= SOCKET_OPENED;
    tell_flow(state, bpf_get_socket_cookie(skb), CASA_EVENT_OPENED);
  }
  return ALLOW;
}

static __always_inline int judge_packet(struct __sk_buff *skb, int outbound) {
  struct bpf_sock *sk = socket_of(skb);
  if (!sk) return ALLOW;
  struct casa_settings *set = current_settings();
  if (!set) return ALLOW;
  struct socket_state *state = bpf_sk_storage_get(&sockets, sk, 0, 0);
  struct packet packet = {};
  if (!state) {
    packet.workload = workload_of_packet(skb);
    if (!packet.workload) return ALLOW;
  }
  if (read_packet(skb, &packet)) packet.protocol = 0;
  if (!state || !is_known_flow(state, set, &packet, outbound)) {
    if (!judge_unknown(skb, sk, state, set, &packet, outbound)) return DENY;
    /* Where there is none now it is nobody's, or only listens. */
    state = bpf_sk_storage_get(&sockets, sk, 0, 0);
    if (!state) return ALLOW;
  }
  if (packet.protocol == IPPROTO_TCP && set->hash_tokens && !(state->flags & SOCKET_UNREAD) &&
      state->direction == (outbound ? CASA_OUTBOUND : CASA_INBOUND) && read_requests(skb, &packet, state))
    return DENY; /* it comes again, in order */
  if (outbound) {
    state->bytes_out += packet.payload_bytes;
    state->packets_out += 1;
  } else {
    state->bytes_in += packet.payload_bytes;
    state->packets_in += 1;
  }
  return ALLOW;
}

SEC("cgroup_skb/egress") int casa_egress(struct __sk_buff *skb) { return judge_packet(skb, 1); }
SEC("cgroup_skb/ingress") int casa_ingress(struct __sk_buff *skb) { return judge_packet(skb, 0); }
