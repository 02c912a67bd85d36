/* For O_DIRECTORY, dirfd and the like. */
#define _GNU_SOURCE

#include "casa_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 512

/* The last of what libbpf complained of, for the failure's message. Programs are loaded by one thread at a time, and
 * this is that thread's. */
static _Thread_local char complaint[CASA_MESSAGE_BYTES];

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  size_t used = strlen(complaint);
  /* The verifier's log is long, and its end is what tells. */
  if (used > sizeof(complaint) / 2) {
    memmove(complaint, complaint + used / 2, used - used / 2 + 1);
    used = strlen(complaint);
  }
  int written = vsnprintf(complaint + used, sizeof(complaint) - used, format, arguments);
  return written < 0 ? 0 : written;
}

static bool fail(struct casa_failure *failure, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  failure->code = code < 0 ? code : -code;
  int used = vsnprintf(failure->message, sizeof(failure->message), format, arguments);
  va_end(arguments);
  if (used > 0 && (size_t)used < sizeof(failure->message) && complaint[0])
    snprintf(failure->message + used, sizeof(failure->message) - (size_t)used, ": %s", complaint);
  return false;
}

/* Whether the kernel knows programs for the hook where a socket is closed. libbpf has no question for a hook. */
static bool has_socket_release(void) {
  const struct bpf_insn allow[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
      {.code = BPF_JMP | BPF_EXIT},
  };
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_INET_SOCK_RELEASE);
  int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK, NULL, "GPL", allow, 2, &options);
  if (program < 0) return program == -EPERM;
  close(program);
  return true;
}

bool casa_kernel_has(enum casa_feature feature) {
  switch (feature) {
    case CASA_FEATURE_LOOP: return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_loop, NULL) != 0;
    case CASA_FEATURE_SOCKET_RELEASE: return has_socket_release();
    case CASA_FEATURE_SOCKET_STORAGE:
      return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK, BPF_FUNC_sk_storage_get, NULL) != 0;
    case CASA_FEATURE_RING_BUFFER:
      return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_ringbuf_reserve, NULL) != 0;
    case CASA_FEATURE_BOOT_CLOCK:
      return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_ktime_get_boot_ns, NULL) != 0;
  }
  return false;
}

static bool make_directory(const char *path, struct casa_failure *failure) {
  if (mkdir(path, 0700) == 0 || errno == EEXIST) return true;
  return fail(failure, errno, "cannot make the directory %s: %s", path, strerror(errno));
}

/* Pins that another layout wrote are left alone: reading them would enforce something else than was meant. */
static bool check_layout(const char *pins, struct casa_failure *failure) {
  char path[PATH_BYTES];
  snprintf(path, sizeof(path), "%s/maps/settings", pins);
  int map = bpf_obj_get(path);
  if (map < 0) {
    if (errno == ENOENT) return true;
    return fail(failure, errno, "cannot open the pinned map %s: %s", path, strerror(errno));
  }
  struct bpf_map_info info = {0};
  uint32_t info_bytes = sizeof(info);
  int code = bpf_obj_get_info_by_fd(map, &info, &info_bytes);
  struct casa_settings settings = {0};
  uint32_t zero = 0;
  if (!code && info.value_size == sizeof(settings)) code = bpf_map_lookup_elem(map, &zero, &settings);
  close(map);
  /* An `abi` of zero: the map was made, and its maker was killed before it wrote. */
  if (!code && info.value_size == sizeof(settings) && (settings.abi == CASA_KERNEL_ABI || settings.abi == 0)) return true;
  return fail(failure, EPROTO,
              "the maps pinned in %s are of another version of casa (layout %u, expected %u); they still enforce. Run "
              "`casa node detach` of that version, or remove them, and start again",
              pins, settings.abi, (unsigned)CASA_KERNEL_ABI);
}

static bool attach_program(struct bpf_program *program, const char *pins, int cgroup, struct casa_failure *failure) {
  const char *name = bpf_program__name(program);
  char path[PATH_BYTES];
  snprintf(path, sizeof(path), "%s/links/%s", pins, name);
  bool is_tracepoint = bpf_program__type(program) == BPF_PROG_TYPE_RAW_TRACEPOINT;

  struct bpf_link *pinned = bpf_link__open(path);
  if (libbpf_get_error(pinned)) {
    if (errno != ENOENT) return fail(failure, errno, "cannot open the pinned link %s: %s", path, strerror(errno));
    pinned = NULL;
  }
  if (pinned && !is_tracepoint) {
    int code = bpf_link__update_program(pinned, program);
    bpf_link__disconnect(pinned);
    bpf_link__destroy(pinned);
    if (code) return fail(failure, code, "cannot replace the program of %s: %s", path, strerror(-code));
    return true;
  }

  struct bpf_link *link =
      is_tracepoint ? bpf_program__attach(program) : bpf_program__attach_cgroup(program, cgroup);
  if (libbpf_get_error(link)) {
    int code = errno;
    if (pinned) bpf_link__destroy(pinned);
    return fail(failure, code, "cannot attach %s: %s", name, strerror(code));
  }
  /* A tracepoint's program can't be replaced: the new one is in force before the old one goes. */
  if (pinned) {
    bpf_link__unpin(pinned);
    bpf_link__destroy(pinned);
  }
  int code = bpf_link__pin(link, path);
  if (code) {
    bpf_link__destroy(link);
    return fail(failure, code, "cannot pin %s: %s", path, strerror(-code));
  }
  bpf_link__disconnect(link);
  bpf_link__destroy(link);
  return true;
}

struct casa_guard {
  struct bpf_object *object;
  char pins[PATH_BYTES];
};

void casa_guard_close(struct casa_guard *guard) {
  if (!guard) return;
  bpf_object__close(guard->object);
  free(guard);
}

static bool load(struct casa_guard *guard, enum casa_variant variant, struct casa_failure *failure) {
  char path[PATH_BYTES + 64];
  if (!make_directory(guard->pins, failure)) return false;
  snprintf(path, sizeof(path), "%s/maps", guard->pins);
  if (!make_directory(path, failure)) return false;
  snprintf(path, sizeof(path), "%s/links", guard->pins);
  if (!make_directory(path, failure) || !check_layout(guard->pins, failure)) return false;

  guard->object = variant == CASA_VARIANT_BOUNDED
                      ? bpf_object__open_mem(casa_programs_bounded, casa_programs_bounded_size, NULL)
                      : bpf_object__open_mem(casa_programs, casa_programs_size, NULL);
  if (!guard->object) return fail(failure, errno, "cannot read the kernel programs: %s", strerror(errno));
  struct bpf_map *map;
  bpf_object__for_each_map(map, guard->object) {
    /* Constants are the object's own. */
    if (bpf_map__is_internal(map)) continue;
    snprintf(path, sizeof(path), "%s/maps/%s", guard->pins, bpf_map__name(map));
    int code = bpf_map__set_pin_path(map, path);
    if (code) return fail(failure, code, "cannot pin %s: %s", path, strerror(-code));
  }
  int code = bpf_object__load(guard->object);
  return code ? fail(failure, code, "the kernel refused the programs: %s", strerror(-code)) : true;
}

struct casa_guard *casa_guard_load(const char *pins, enum casa_variant variant, struct casa_failure *failure) {
  complaint[0] = 0;
  libbpf_set_print(keep_complaint);
  if (strlen(pins) > PATH_BYTES - 64) {
    fail(failure, ENAMETOOLONG, "the path %s is too long", pins);
    return NULL;
  }
  struct casa_guard *guard = calloc(1, sizeof(*guard));
  if (!guard) {
    fail(failure, ENOMEM, "no memory to load the kernel programs");
    return NULL;
  }
  snprintf(guard->pins, sizeof(guard->pins), "%s", pins);
  if (load(guard, variant, failure)) return guard;
  casa_guard_close(guard);
  return NULL;
}

bool casa_guard_attach(struct casa_guard *guard, const char *cgroup, struct casa_failure *failure) {
  complaint[0] = 0;
  int root = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail(failure, errno, "cannot open the cgroup %s: %s", cgroup, strerror(errno));
  bool succeeded = true;
  struct bpf_program *program;
  bpf_object__for_each_program(program, guard->object) {
    succeeded = attach_program(program, guard->pins, root, failure);
    if (!succeeded) break;
  }
  close(root);
  return succeeded;
}

/* Removes what is in a directory of pins, and the directory. */
static bool remove_pins(const char *pins, const char *part, struct casa_failure *failure) {
  char path[PATH_BYTES];
  snprintf(path, sizeof(path), "%s/%s", pins, part);
  DIR *directory = opendir(path);
  if (!directory) return errno == ENOENT ? true : fail(failure, errno, "cannot read %s: %s", path, strerror(errno));
  bool succeeded = true;
  for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    if (unlinkat(dirfd(directory), entry->d_name, 0))
      succeeded = fail(failure, errno, "cannot remove %s/%s: %s", path, entry->d_name, strerror(errno));
  }
  closedir(directory);
  if (succeeded && rmdir(path) && errno != ENOENT)
    succeeded = fail(failure, errno, "cannot remove %s: %s", path, strerror(errno));
  return succeeded;
}

bool casa_guard_detach(const char *pins, struct casa_failure *failure) {
  complaint[0] = 0;
  if (strlen(pins) > PATH_BYTES - 64) return fail(failure, ENAMETOOLONG, "the path %s is too long", pins);
  if (!remove_pins(pins, "links", failure) || !remove_pins(pins, "maps", failure)) return false;
  if (rmdir(pins) && errno != ENOENT) return fail(failure, errno, "cannot remove %s: %s", pins, strerror(errno));
  return true;
}

int casa_guard_programs(const char *pins, struct casa_program *programs, int capacity) {
  char path[PATH_BYTES];
  snprintf(path, sizeof(path), "%s/links", pins);
  DIR *directory = opendir(path);
  if (!directory) return -errno;
  int count = 0;
  for (struct dirent *entry = readdir(directory); entry && count < capacity; entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    char file[PATH_BYTES + 256];
    snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
    int link = bpf_obj_get(file);
    if (link < 0) continue;
    struct bpf_link_info link_info = {0};
    uint32_t bytes = sizeof(link_info);
    int code = bpf_obj_get_info_by_fd(link, &link_info, &bytes);
    close(link);
    if (code) continue;
    int program = bpf_prog_get_fd_by_id(link_info.prog_id);
    if (program < 0) continue;
    struct bpf_prog_info info = {0};
    bytes = sizeof(info);
    code = bpf_obj_get_info_by_fd(program, &info, &bytes);
    close(program);
    if (code) continue;
    struct casa_program *found = &programs[count++];
    memset(found, 0, sizeof(*found));
    snprintf(found->name, sizeof(found->name), "%.31s", entry->d_name);
    found->id = info.id;
    found->verified_instructions = info.verified_insns;
    found->run_time_ns = info.run_time_ns;
    found->run_count = info.run_cnt;
  }
  closedir(directory);
  return count;
}

/* The ring buffer (kernel: kernel/bpf/ringbuf.c): a page with the consumer's position, a page with the producer's, and
 * the data, which is mapped twice in a row so that no record is cut by the end. */
struct casa_ring {
  size_t page, size;
  uint32_t id;
  unsigned long *consumer;
  unsigned char *producer;
  const unsigned char *data;
  unsigned long next; /* behind what was read last */
};

#define BUSY (1U << 31)
#define DISCARDED (1U << 30)
#define HEADER 8

void casa_ring_close(struct casa_ring *ring) {
  if (!ring) return;
  if (ring->consumer && ring->consumer != MAP_FAILED) munmap(ring->consumer, ring->page);
  if (ring->producer && ring->producer != MAP_FAILED) munmap(ring->producer, ring->page + 2 * ring->size);
  free(ring);
}

struct casa_ring *casa_ring_open(int map, struct casa_failure *failure) {
  complaint[0] = 0;
  struct bpf_map_info info = {0};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(map, &info, &bytes)) {
    fail(failure, errno, "cannot read about the ring buffer: %s", strerror(errno));
    return NULL;
  }
  struct casa_ring *ring = calloc(1, sizeof(*ring));
  if (!ring) {
    fail(failure, ENOMEM, "no memory for the ring buffer");
    return NULL;
  }
  ring->page = (size_t)sysconf(_SC_PAGESIZE);
  ring->size = info.max_entries;
  ring->id = info.id;
  ring->consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  ring->producer = mmap(NULL, ring->page + 2 * ring->size, PROT_READ, MAP_SHARED, map, (off_t)ring->page);
  if (ring->consumer == MAP_FAILED || ring->producer == MAP_FAILED) {
    fail(failure, errno, "cannot map the ring buffer: %s", strerror(errno));
    casa_ring_close(ring);
    return NULL;
  }
  ring->data = ring->producer + ring->page;
  ring->next = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
  return ring;
}

int casa_ring_read(struct casa_ring *ring, struct casa_event *events, uint64_t *ends, int capacity) {
  unsigned long at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
  unsigned long end = __atomic_load_n((unsigned long *)ring->producer, __ATOMIC_ACQUIRE);
  int count = 0;
  while (at < end && count < capacity) {
    const unsigned char *record = ring->data + (at & (ring->size - 1));
    uint32_t length = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
    if (length & BUSY) break;
    uint32_t bytes = length & ~(BUSY | DISCARDED);
    /* A record of another length is none of ours. */
    at += (bytes + HEADER + 7) / 8 * 8;
    if ((length & DISCARDED) || bytes != sizeof(struct casa_event)) continue;
    memcpy(&events[count], record + HEADER, sizeof(struct casa_event));
    ends[count++] = at;
  }
  ring->next = at;
  return count;
}

void casa_ring_release(struct casa_ring *ring) { __atomic_store_n(ring->consumer, ring->next, __ATOMIC_RELEASE); }

uint64_t casa_ring_end(const struct casa_ring *ring) { return ring->next; }

uint32_t casa_ring_id(const struct casa_ring *ring) { return ring->id; }

uint64_t casa_ring_fill(const struct casa_ring *ring) {
  return __atomic_load_n((unsigned long *)ring->producer, __ATOMIC_ACQUIRE) -
         __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}
