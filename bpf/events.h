/* What is told to the node guard. */
#ifndef CASA_EVENTS_H
#define CASA_EVENTS_H

#include "maps.h"

/* In no order with other accesses: what gives an order also gives the former value, which kernels before 5.12 can't. */
static __always_inline void count_up(__u64 *count) { __atomic_fetch_add(count, 1, __ATOMIC_RELAXED); }

/* Whether one more event of this class may be sent; counts it if not. Two processors that count at once may let one
 * event more through; what was not sent is counted exactly. */
static __noinline int may_tell(casa_workload workload, __u32 class, __u64 *suppressed) {
  struct casa_settings *set = current_settings();
  struct casa_meter *meter = bpf_map_lookup_elem(&meters, &workload);
  if (!set || class >= CASA_METER_CLASSES) return 0;
  if (!meter) return workload == 0; /* 0: not of a workload, but of the node */
  if (class == CASA_METER_REFUSED) count_up(&meter->refused);
  __u64 now = bpf_ktime_get_boot_ns();
  if (now - meter->window_ns[class] >= 1000000000ULL) {
    meter->window_ns[class] = now;
    meter->sent[class] = 0;
  }
  if (meter->sent[class] >= set->events_per_second) {
    count_up(&meter->suppressed[class]);
    return 0;
  }
  meter->sent[class] += 1;
  *suppressed = meter->suppressed[class];
  return 1;
}

/* Room for an event, filled in as far as all have it; 0 when none may be sent. */
static __always_inline struct casa_event *begin_event(casa_workload workload, __u8 kind, __u32 class) {
  __u64 suppressed = 0;
  if (!may_tell(workload, class, &suppressed)) return 0;
  struct casa_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    struct casa_losses *lost = current_losses();
    if (lost) lost->events += 1;
    return 0;
  }
  __builtin_memset(event, 0, sizeof(*event));
  event->at_ns = bpf_ktime_get_boot_ns();
  event->workload = workload;
  event->kind = kind;
  event->suppressed = suppressed;
  return event;
}

static __always_inline void copy_flow(struct casa_event *event, const struct socket_state *state, __u64 cookie) {
  event->flow = cookie;
  event->started_ns = state->started_ns;
  event->local = state->local;
  event->remote = state->remote;
  event->local_port = state->local_port;
  event->remote_port = state->remote_port;
  event->direction = state->direction;
  event->protocol = state->protocol;
  event->reason = state->verdict;
  event->rule = state->rule;
  event->bytes_out = state->bytes_out;
  event->bytes_in = state->bytes_in;
  event->packets_out = state->packets_out;
  event->packets_in = state->packets_in;
  event->observed_only = !!(state->flags & SOCKET_OBSERVED);
}

static __noinline void tell_flow(struct socket_state *state, __u64 cookie, __u8 kind) {
  struct casa_event *event = begin_event(state->workload, kind, CASA_METER_FLOW);
  if (!event) return;
  copy_flow(event, state, cookie);
  event->duration_ns = event->at_ns - state->started_ns;
  bpf_ringbuf_submit(event, 0);
}

struct refusal {
  casa_workload workload;
  struct casa_address local, remote;
  __u64 cookie;
  __u32 detail;
  __u16 local_port, remote_port;
  __u16 rule;
  __u8 hook, reason, direction, protocol, observed_only;
  __u8 has_process;
};

static __noinline void tell_refusal(const struct refusal *refusal) {
  struct casa_event *event = begin_event(refusal->workload, CASA_EVENT_REFUSED, CASA_METER_REFUSED);
  if (!event) return;
  event->flow = refusal->cookie;
  event->local = refusal->local;
  event->remote = refusal->remote;
  event->local_port = refusal->local_port;
  event->remote_port = refusal->remote_port;
  event->hook = refusal->hook;
  event->reason = refusal->reason;
  event->direction = refusal->direction;
  event->protocol = refusal->protocol;
  event->observed_only = refusal->observed_only;
  event->rule = refusal->rule;
  event->detail = refusal->detail;
  if (refusal->has_process) {
    event->process = bpf_get_current_pid_tgid() >> 32;
    event->cgroup = bpf_get_current_cgroup_id();
  }
  bpf_ringbuf_submit(event, 0);
}

#endif
