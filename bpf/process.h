/* Processes: who stays a workload's wherever it is moved, and which system calls would lead past the socket hooks. */
#ifndef CASA_PROCESS_H
#define CASA_PROCESS_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "events.h"
#include "identity.h"

/* As much of the kernel's own types as is read; where the fields are is found when the program is loaded. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct thread_info {
  __u32 status;
};
typedef struct {
  int counter;
} atomic_t;
struct signal_struct {
  atomic_t live; /* threads that have not ended */
};
struct task_struct {
  struct thread_info thread_info;
  int pid;
  int tgid;
  struct signal_struct *signal;
  struct css_set *cgroups;
  struct files_struct *files;
};
struct kernfs_node {
  __u64 id;
};
struct cgroup {
  int level;
  struct kernfs_node *kn;
  struct cgroup *ancestors[]; /* from the root to the cgroup itself, by level */
};
struct cgroup___before_6_1 {
  __u64 ancestor_ids[];
};
struct css_set {
  struct cgroup *dfl_cgrp;
};
struct pt_regs {
  unsigned long di, si, bx, cx;
};
#pragma clang attribute pop

#define SIGKILL 9
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16

static __always_inline void remember(__u32 process, casa_workload workload) {
  if (workload == CASA_UNNAMED) return;
  if (!bpf_map_update_elem(&members, &process, &workload, BPF_ANY)) return;
  /* It could leave its cgroup and be nobody's. */
  struct casa_losses *lost = current_losses();
  if (lost) lost->members += 1;
  bpf_send_signal(SIGKILL);
}

#ifdef CASA_BEFORE_5_17
/* Tracing programs may not ask for an ancestor's id before 5.14: it is read from the kernel's memory. */
static __always_inline __u64 ancestor_id(struct cgroup *cgroup, int level) {
  if (bpf_core_field_exists(struct cgroup___before_6_1, ancestor_ids)) {
    const __u64 *ids = __builtin_preserve_access_index(&((struct cgroup___before_6_1 *)cgroup)->ancestor_ids[0]);
    __u64 id = 0;
    bpf_probe_read_kernel(&id, sizeof(id), ids + level);
    return id;
  }
  struct cgroup **ancestors = __builtin_preserve_access_index(&cgroup->ancestors[0]);
  struct cgroup *ancestor = 0;
  bpf_probe_read_kernel(&ancestor, sizeof(ancestor), ancestors + level);
  return BPF_CORE_READ(ancestor, kn, id);
}

static __noinline casa_workload workload_of_current_task(void) {
  struct task_struct *task = (struct task_struct *)bpf_get_current_task();
  struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
  int depth = BPF_CORE_READ(cgroup, level);
  casa_workload found;
  NEAREST_WORKLOAD(found, level <= depth ? ancestor_id(cgroup, level) : 0);
  return found;
}
#else
#define workload_of_current_task workload_of_current_cgroup
#endif

/* Whose the running process is. A process may be born into a cgroup, or be in one before it is named; nothing tells of
 * that, so it is remembered by the first thing it does, before it could be moved away. */
static __always_inline casa_workload remember_current(void) {
  __u32 process = bpf_get_current_pid_tgid() >> 32;
  casa_workload *member = bpf_map_lookup_elem(&members, &process);
  if (member) return *member;
  casa_workload workload = workload_of_current_task();
  if (workload) remember(process, workload);
  return workload;
}

static __always_inline void kill_escape(casa_workload workload, __u8 reason, __u32 detail) {
  struct casa_policy *policy = bpf_map_lookup_elem(&policies, &workload);
  struct refusal refusal = {
      .workload = workload,
      .hook = CASA_HOOK_SYSCALL,
      .reason = reason,
      .detail = detail,
      .has_process = 1,
      .observed_only = policy && (policy->flags & CASA_OBSERVE_ONLY),
  };
  tell_refusal(&refusal);
  if (!refusal.observed_only) bpf_send_signal(SIGKILL);
}

#define NR_CLONE 56

SEC("raw_tp/sched_process_fork")
int casa_fork(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *parent = (struct task_struct *)ctx->args[0], *child = (struct task_struct *)ctx->args[1];
  casa_workload workload = remember_current();
  if (!workload) return 0;
  __u32 process = BPF_CORE_READ(child, tgid), thread = BPF_CORE_READ(child, pid);
  if (process != thread) return 0;
  remember(process, workload);
  /* Two processes with one table of open files: what one is killed for opening, the other would go on with. */
  if (BPF_CORE_READ(child, files) == BPF_CORE_READ(parent, files)) kill_escape(workload, CASA_ESCAPE, NR_CLONE);
  return 0;
}

SEC("raw_tp/sched_process_exec")
int casa_exec(struct bpf_raw_tracepoint_args *ctx) {
  remember_current();
  return 0;
}

/* A process ends with its last thread: the first may end before the others, and does when another calls exec. */
SEC("raw_tp/sched_process_exit")
int casa_exit(struct bpf_raw_tracepoint_args *ctx) {
  struct task_struct *task = (struct task_struct *)ctx->args[0];
  __u32 process = BPF_CORE_READ(task, tgid);
  if (BPF_CORE_READ(task, signal, live.counter) == 0) bpf_map_delete_elem(&members, &process);
  return 0;
}

SEC("raw_tp/cgroup_attach_task")
int casa_attach_task(struct bpf_raw_tracepoint_args *ctx) {
  struct cgroup *target = (struct cgroup *)ctx->args[0];
  struct task_struct *task = (struct task_struct *)ctx->args[2];
  __u64 id = BPF_CORE_READ(target, kn, id);
  __u32 process = BPF_CORE_READ(task, tgid);
  casa_workload *named = bpf_map_lookup_elem(&cgroups, &id);
  casa_workload *member = bpf_map_lookup_elem(&members, &process);
  if (!member) {
    if (named) remember(process, *named);
    return 0;
  }
  if (named && *named == *member) return 0;
  struct casa_event *event = begin_event(*member, CASA_EVENT_LEFT, CASA_METER_REFUSED);
  if (!event) return 0;
  event->process = process;
  event->cgroup = id;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

SEC("raw_tp/cgroup_mkdir")
int casa_cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx) {
  struct cgroup *made = (struct cgroup *)ctx->args[0];
  struct casa_event *event = begin_event(0, CASA_EVENT_CGROUP, CASA_METER_FLOW);
  if (!event) return 0;
  event->cgroup = BPF_CORE_READ(made, kn, id);
  bpf_ringbuf_submit(event, 0);
  return 0;
}

#define TS_COMPAT 2
#define X32_BIT 0x40000000L /* in the numbers of the x32 system calls, which are otherwise those of 64 bits */
#define NR_SOCKET 41
#define NR_SOCKETPAIR 53
#define NR_IO_URING_SETUP 425
#define NR_PIDFD_GETFD 438
#define NR_COMPAT_SOCKETCALL 102
#define NR_COMPAT_SOCKET 359
#define NR_COMPAT_SOCKETPAIR 360
#define NR_IOCTL 16
#define NR_X32_IOCTL 514
#define NR_COMPAT_IOCTL 54
#define TUNSETIFF 0x400454ca

/* Sockets of other families than these never come by the socket hooks; who makes one is killed before it can use it.
 * So is who could take such a socket from a process that is being killed, or make one by another way, and who makes a
 * network device whose other end it is: by that, anything comes in as from any address. */
SEC("raw_tp/sys_enter")
int casa_sys_enter(struct bpf_raw_tracepoint_args *ctx) {
  long number = ctx->args[1] & ~X32_BIT;
  int is_ioctl = number == NR_IOCTL || number == NR_X32_IOCTL || number == NR_COMPAT_IOCTL;
  if (!is_ioctl && number != NR_SOCKET && number != NR_SOCKETPAIR && number != NR_IO_URING_SETUP &&
      number != NR_PIDFD_GETFD && number != NR_COMPAT_SOCKETCALL && number != NR_COMPAT_SOCKET &&
      number != NR_COMPAT_SOCKETPAIR)
    return 0;
  struct task_struct *task = (struct task_struct *)bpf_get_current_task();
  int is_compat = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
  if (!is_compat && (number == NR_COMPAT_SOCKETCALL || number == NR_COMPAT_SOCKET || number == NR_COMPAT_SOCKETPAIR))
    return 0;
  if (is_compat && (number == NR_SOCKET || number == NR_SOCKETPAIR)) return 0;
  struct pt_regs *registers = (struct pt_regs *)ctx->args[0];
  if (is_ioctl) {
    if ((number == NR_COMPAT_IOCTL) != !!is_compat) return 0;
    __u32 command = is_compat ? BPF_CORE_READ(registers, cx) : BPF_CORE_READ(registers, si);
    if (command != TUNSETIFF) return 0;
  }
  casa_workload workload = remember_current();
  if (!workload) return 0;
  if (is_ioctl || number == NR_IO_URING_SETUP || number == NR_PIDFD_GETFD || number == NR_COMPAT_SOCKETCALL) {
    kill_escape(workload, CASA_ESCAPE, number);
    return 0;
  }
  __u32 family = is_compat ? BPF_CORE_READ(registers, bx) : BPF_CORE_READ(registers, di);
  if (family != AF_UNSPEC && family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
    kill_escape(workload, CASA_FAMILY, family);
  return 0;
}

#endif
