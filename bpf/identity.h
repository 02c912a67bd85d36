/* Whose a process or a socket is. */
#ifndef CASA_IDENTITY_H
#define CASA_IDENTITY_H

#include "maps.h"

/* The workload of the nearest cgroup that is named, from the root down: the deepest wins. 0: none. */
#define NEAREST_WORKLOAD(found, ancestor_at)                               \
  do {                                                                     \
    found = 0;                                                             \
    for (int level = 1; level <= CASA_MAX_CGROUP_DEPTH; level++) {         \
      __u64 id = ancestor_at;                                              \
      if (!id) break;                                                      \
      casa_workload *named = bpf_map_lookup_elem(&cgroups, &id);           \
      if (named) found = *named;                                           \
    }                                                                      \
  } while (0)

static __noinline casa_workload workload_of_current_cgroup(void) {
  casa_workload found;
  NEAREST_WORKLOAD(found, bpf_get_current_ancestor_cgroup_id(level));
  return found;
}

static __noinline casa_workload workload_of_packet(struct __sk_buff *skb) {
  casa_workload found;
  NEAREST_WORKLOAD(found, bpf_skb_ancestor_cgroup_id(skb, level));
  return found;
}

/* The workload of the running process: what it once was, else what its cgroup says. */
static __always_inline casa_workload workload_of_current(void) {
  __u32 process = bpf_get_current_pid_tgid() >> 32;
  casa_workload *member = bpf_map_lookup_elem(&members, &process);
  return member ? *member : workload_of_current_cgroup();
}

#endif
