/* What the kernel programs (bpf/) and the node guard (Sources/NodeGuard) share: the keys and values of the maps, and
 * the events. Both sides compile this header, so neither can drift. All numbers are in the machine's own byte order
 * unless a comment says "network order".
 *
 * A change of a layout is a change of CASA_KERNEL_ABI: a guard that finds pinned maps of another number refuses to
 * touch them. */
#ifndef CASA_KERNEL_H
#define CASA_KERNEL_H

#include <linux/types.h>

#define CASA_KERNEL_ABI 2

/* The most of each that is kept. What a policy asks beyond these is refused when it is read, never cut. */
#define CASA_MAX_CGROUPS 65536
#define CASA_MAX_WORKLOADS 16384
#define CASA_MAX_RULES 64        /* of one workload, after named endpoints became addresses */
#define CASA_PORT_CLASSES 64     /* ports with the same last six bits are of one class */
#define CASA_MAX_NAMES 65536     /* of all workloads */
#define CASA_MAX_NAME 250        /* two more than the bytes of a name on the wire, the final zero among those */
#define CASA_MAX_RESOLVERS 4
#define CASA_MAX_ADMITTED 32     /* addresses of the LLM's name that one workload may reach at a time */
#define CASA_MAX_MEMBERS 65536   /* processes of guarded workloads */
#define CASA_MAX_CGROUP_DEPTH 12 /* levels below the root that are looked at; what is deeper inherits */
#define CASA_EVENT_BYTES (8 << 20)
#define CASA_METHOD_BYTES 8
#define CASA_PATH_BYTES 64

/* A workload is named by the first eight bytes (highest first) of the SHA-256 of its name. 0 is none. */
typedef __u64 casa_workload;
/* The workload of what lives below a guarded cgroup and is named by no policy: it has no policy, so it is denied. */
#define CASA_UNNAMED ((casa_workload)~0ULL)

/* IPv6, or IPv4 mapped into it (::ffff:a.b.c.d), in network order. So there is one comparison, and an IPv4-mapped
 * destination is the IPv4 destination. */
struct casa_address {
  __u32 words[4];
};

enum casa_direction { CASA_OUTBOUND = 1, CASA_INBOUND = 2 };

/* What a rule permits. For CASA_OUTBOUND `address` is the remote and the ports are the remote's. For CASA_INBOUND
 * `address` is the remote and the ports are the workload's own; an inbound rule also permits binding these ports. */
struct casa_rule {
  struct casa_address address; /* with the bits outside the mask zero */
  struct casa_address mask;
  __u16 first_port; /* 1...65535 */
  __u16 last_port;  /* inclusive */
  __u8 direction;   /* enum casa_direction */
  __u8 protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
  __u16 number;     /* of the rule in the workload's policy as it was written, from 1: what events name */
};

/* struct casa_policy.flags */
#define CASA_LLM_TLS (1 << 0)       /* the first bytes to the LLM must be a TLS ClientHello that names it */
#define CASA_BIND_ANY (1 << 1)      /* any port may be bound; without it only those of inbound rules, and port 0 */
#define CASA_OBSERVE_ONLY (1 << 2)  /* nothing is denied; what would be is reported */

/* Map `policies`: casa_workload -> this. One update replaces it as a whole. A workload without one is denied all. */
struct casa_policy {
  __u64 generation; /* differs whenever anything of the policy differs: established connections are then judged anew */
  __u64 llm;        /* names the LLM host and port; 0 is none. A change cuts connections to the former. */
  __u32 flags;
  __u16 llm_port;
  __u16 rule_count; /* 0...CASA_MAX_RULES */
  struct casa_address proxy; /* TCP to anywhere may be begun, since the packet filter leads it here, and no packet */
  __u16 proxy_port;          /* may go elsewhere unless a rule permits it. proxy_port 0: none */
  __u16 padding[3];
  __u64 rules_of_port[CASA_PORT_CLASSES]; /* by class: bit i is set when rules[i] has a port of it */
  struct casa_rule rules[CASA_MAX_RULES];
};

/* Map `names` (longest prefix): what a workload may ask the resolver for. The name is in DNS wire form (length bytes,
 * letters in lower case), written backwards, so that a shared suffix is a shared prefix. `bits` counts the bits of
 * `workload` and of the name. An exact name ends with its first length byte followed by a zero byte; a suffix
 * ("anything below svc.cluster.local") ends after its last label's length byte. */
struct casa_name_key {
  __u32 bits;
  __u8 workload[8]; /* highest byte first */
  __u8 backwards[CASA_MAX_NAME - 2];
};
enum casa_name_use {
  CASA_NAME_RESOLVED = 1, /* may be asked for */
  CASA_NAME_LLM = 2,      /* the LLM's: the addresses in its answers are admitted */
};

/* Map `admitted`: casa_workload -> this. The addresses that the LLM's name has, by the permitted resolver's answers. */
struct casa_admission {
  struct casa_address address;
  __u64 until_ns; /* of bpf_ktime_get_boot_ns; 0 is unused */
};
struct casa_admitted {
  __u64 llm; /* the casa_policy.llm that they were admitted for */
  __u32 next;
  __u32 padding;
  struct casa_admission admissions[CASA_MAX_ADMITTED];
};

/* Map `llm_names`: casa_workload -> the LLM's host name as in a TLS ClientHello: lower case, no final dot. */
struct casa_llm_name {
  __u32 length; /* 1...253 */
  __u8 text[256];
};

/* The programs are compiled twice. */
enum casa_variant {
  CASA_VARIANT_LOOPS = 0,   /* their loops are the kernel's own (bpf_loop) */
  CASA_VARIANT_BOUNDED = 1, /* for kernels without: the verifier walks each loop */
};

/* Map `settings`, one entry. */
struct casa_settings {
  __u32 abi; /* CASA_KERNEL_ABI */
  __u32 resolver_count;
  struct casa_address resolvers[CASA_MAX_RESOLVERS]; /* UDP port `resolver_port` of these answers names */
  __u16 resolver_port;                               /* 53 */
  __u16 variant; /* enum casa_variant: which programs are in force; for who looks on, no program reads it */
  __u16 padding[2];
  __u64 ttl_floor_ns;   /* an address is admitted at least this long */
  __u64 ttl_ceiling_ns; /* and at most this long */
  __u32 events_per_second; /* of one workload and class; what is beyond is counted, not sent */
  __u32 hash_tokens;       /* 0: token hashes are not sought */
  __u64 identities;        /* differs whenever `cgroups` or `policies` was changed: sockets are then judged anew */
};

/* Map `meters`: casa_workload -> this. Each class has a limit of its own, so that a flood of refusals hides no token. */
enum casa_meter_class { CASA_METER_REFUSED, CASA_METER_FLOW, CASA_METER_TOKEN, CASA_METER_CLASSES };
struct casa_meter {
  __u64 window_ns[CASA_METER_CLASSES];  /* when the second that is counted began */
  __u64 sent[CASA_METER_CLASSES];       /* events in it */
  __u64 suppressed[CASA_METER_CLASSES]; /* events that were not sent, since the map was made */
  __u64 refused;                        /* refusals since the map was made, sent or not */
};

/* Map `losses`, one entry for each processor. */
struct casa_losses {
  __u64 events;  /* the ring buffer was full */
  __u64 tokens;  /* longer than 4096 bytes, or cut off by bytes that came out of order */
  __u64 members; /* processes that could not be remembered, and were killed */
};

enum casa_event_kind {
  CASA_EVENT_OPENED = 1, /* a connection's first packet was let through */
  CASA_EVENT_CLOSED = 2, /* the socket was closed; the counters are final */
  CASA_EVENT_REFUSED = 3,
  CASA_EVENT_TOKEN = 4,    /* an Authorization: Bearer header was read to its end */
  CASA_EVENT_ADMITTED = 5, /* the resolver's answer gave the LLM's name an address: `remote`, for `duration_ns` */
  CASA_EVENT_LEFT = 6,     /* a process was moved out of its workload's cgroup; it still counts as that workload's */
  CASA_EVENT_CGROUP = 7,   /* a cgroup was made: `cgroup`; whose it is has to be found */
};

/* Why something was refused, or by what it was let through. */
enum casa_reason {
  CASA_BY_RULE = 1,
  CASA_BY_RESOLVER = 2, /* a name that may be asked for, at the permitted resolver */
  CASA_BY_LLM = 3,      /* an address that the LLM's name has */
  CASA_BY_PROXY = 4,    /* the workload's own proxy */
  CASA_BY_REPLY = 5,    /* an answer to what was let through */
  CASA_NO_RULE = 16,
  CASA_NO_POLICY = 17,
  CASA_FAMILY = 18,   /* a socket of another family than inet, inet6, unix or netlink */
  CASA_TYPE = 19,     /* a socket that is neither TCP nor UDP */
  CASA_BIND = 20,     /* a port that may not be bound */
  CASA_PACKET = 21,   /* a packet that is neither TCP nor UDP, or can't be read */
  CASA_DNS_NAME = 22, /* a name that may not be asked for */
  CASA_DNS_FORM = 23, /* not one plain question */
  CASA_DNS_TCP = 24,
  CASA_DNS_FORGED = 25, /* an answer that nobody asked for, or not from the resolver */
  CASA_LLM_EXPIRED = 26, /* an address that the LLM's name had */
  CASA_SNI_OTHER = 27,   /* a ClientHello that names another host */
  CASA_SNI_MISSING = 28, /* the first bytes are no ClientHello, or it names no host, or not in the first packet */
  CASA_ESCAPE = 29,      /* a system call that could carry a socket past these hooks */
  CASA_MEMORY = 30,      /* the kernel had no memory to keep the socket's state */
};

enum casa_hook {
  CASA_HOOK_CREATE = 1,
  CASA_HOOK_BIND = 2,
  CASA_HOOK_CONNECT = 3,
  CASA_HOOK_SEND = 4,
  CASA_HOOK_EGRESS = 5,
  CASA_HOOK_INGRESS = 6,
  CASA_HOOK_SYSCALL = 7,
};

/* What comes through the ring buffer `events`. `flow` and `started_ns` together name a connection for ever (cookies
 * are not used again before a reboot); with `kind` and `at_ns` they name an event. */
struct casa_event {
  __u64 at_ns; /* bpf_ktime_get_boot_ns */
  casa_workload workload;
  __u64 cgroup;
  __u64 flow;       /* the socket's cookie; 0 where there is no socket yet */
  __u64 started_ns; /* of the flow */
  __u64 duration_ns;
  __u64 bytes_out; /* payload above TCP or UDP */
  __u64 bytes_in;
  __u64 packets_out;
  __u64 packets_in;
  struct casa_address local; /* zero when unknown */
  struct casa_address remote;
  __u16 local_port;
  __u16 remote_port;
  __u8 kind;      /* enum casa_event_kind */
  __u8 hook;      /* enum casa_hook; 0 for what no hook decided */
  __u8 reason;    /* enum casa_reason */
  __u8 direction; /* enum casa_direction */
  __u8 protocol;
  __u8 observed_only; /* it would have been refused, but the policy only observes */
  __u16 rule;         /* casa_rule.number; 0 for none */
  __u32 process;      /* id of the thread group; 0 when a packet arrived */
  __u32 detail;       /* CASA_FAMILY: the family. CASA_TYPE: type << 16 | protocol. CASA_ESCAPE: the system call */
  __u64 suppressed;   /* events of this workload that were not sent before this one */
  __u8 token[32];     /* SHA-256, for CASA_EVENT_TOKEN */
  __u8 method[CASA_METHOD_BYTES]; /* zero-padded */
  __u8 path[CASA_PATH_BYTES];     /* the first bytes of the path, without the query, zero-padded */
};

#endif
