/* Loads the kernel programs, attaches and pins them, and reads their events: what Swift can't say to libbpf itself. */
#ifndef CASA_GUARD_H
#define CASA_GUARD_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casa_kernel.h"

/* The compiled programs (bpf/guard.bpf.c), as `make bpf` wrote them: CASA_VARIANT_LOOPS and CASA_VARIANT_BOUNDED. */
extern const unsigned char casa_programs[], casa_programs_bounded[];
extern const size_t casa_programs_size, casa_programs_bounded_size;

#define CASA_MESSAGE_BYTES 4096

/* What went wrong: a negated errno, and what the kernel or libbpf said. */
struct casa_failure {
  int code;
  char message[CASA_MESSAGE_BYTES];
};

/* What not every kernel has that the programs could run on. */
enum casa_feature {
  CASA_FEATURE_LOOP,           /* the helper bpf_loop (5.17) */
  CASA_FEATURE_SOCKET_RELEASE, /* a hook where a socket is closed (5.9) */
  CASA_FEATURE_SOCKET_STORAGE, /* state of a socket where it is made (5.9) */
  CASA_FEATURE_RING_BUFFER,    /* the map for events (5.8) */
  CASA_FEATURE_BOOT_CLOCK,     /* the helper bpf_ktime_get_boot_ns (5.8) */
};
/* Whether the kernel has it; also true when this process may not ask, since loading the programs then says so. */
bool casa_kernel_has(enum casa_feature feature);

/* The programs, loaded with maps that are pinned in `pins`/maps (made there when they are not yet), and not attached: the
 * maps can be filled first. NULL on failure. */
struct casa_guard;
struct casa_guard *casa_guard_load(const char *pins, enum casa_variant variant, struct casa_failure *failure);
/* Attaches them to the cgroup `cgroup` and pins each link in `pins`/links. Links that are pinned already get the new
 * program in place of the old, so that there is no moment without one. On failure what was attached before stays. */
bool casa_guard_attach(struct casa_guard *guard, const char *cgroup, struct casa_failure *failure);
void casa_guard_close(struct casa_guard *guard);

/* Ends enforcement: removes every link and map that is pinned in `pins`. */
bool casa_guard_detach(const char *pins, struct casa_failure *failure);

/* A program that is attached. */
struct casa_program {
  char name[32];
  uint32_t id;
  uint32_t verified_instructions;
  uint64_t run_time_ns; /* while statistics are on */
  uint64_t run_count;
};
/* Fills `programs` with what the links pinned in `pins` run; their number, or a negated errno. */
int casa_guard_programs(const char *pins, struct casa_program *programs, int capacity);

/* Reads the ring buffer `events` without giving its records back until they are stored elsewhere. */
struct casa_ring;
struct casa_ring *casa_ring_open(int map, struct casa_failure *failure);
void casa_ring_close(struct casa_ring *ring);
/* Copies up to `capacity` events, and where each ends in all that ever went through the ring; how many. Reading again
 * without casa_ring_release gives the same ones. */
int casa_ring_read(struct casa_ring *ring, struct casa_event *events, uint64_t *ends, int capacity);
/* Gives back what the last casa_ring_read copied. */
void casa_ring_release(struct casa_ring *ring);
/* Behind what casa_ring_read read last, in all that ever went through the ring. */
uint64_t casa_ring_end(const struct casa_ring *ring);
/* The kernel's number of the map. */
uint32_t casa_ring_id(const struct casa_ring *ring);
/* Bytes that are written and not given back. */
uint64_t casa_ring_fill(const struct casa_ring *ring);

#endif
