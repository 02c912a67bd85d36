/* What a policy says of an address and a port. */
#ifndef CASA_VERDICT_H
#define CASA_VERDICT_H

#include <linux/in.h>

#include "maps.h"

struct question {
  struct casa_address remote;
  casa_workload workload;
  __u16 remote_port, local_port;
  __u8 direction, protocol;
};

static __always_inline int is_allowed(__u8 reason) { return reason && reason < CASA_NO_RULE; }

/* The first rule that permits it; 0 for none.
 *
 * Only those are looked at that have a port of the same last bits: few of many, as a rule. The rest is compared by
 * arithmetic, not by branches, each of which the verifier would follow through every turn. */
static __always_inline __u32 permitting_rule(const struct casa_policy *policy, const struct casa_address *address,
                                             __u32 port, __u32 direction, __u32 protocol) {
  __u64 left = policy->rules_of_port[port & (CASA_PORT_CLASSES - 1)];
  for (__u32 turn = 0; turn < CASA_MAX_RULES && left; turn++) {
    const struct casa_rule *rule = &policy->rules[opaque(__builtin_ctzll(left)) & (CASA_MAX_RULES - 1)];
    left &= left - 1;
    /* Negative when the port is outside. */
    __u32 differing = ((port - rule->first_port) | (rule->last_port - port)) & 0x80000000;
    differing |= (rule->direction ^ direction) | (rule->protocol ^ protocol);
    if (differing) continue;
    differing = ((address->words[0] & rule->mask.words[0]) ^ rule->address.words[0]) |
                ((address->words[1] & rule->mask.words[1]) ^ rule->address.words[1]) |
                ((address->words[2] & rule->mask.words[2]) ^ rule->address.words[2]) |
                ((address->words[3] & rule->mask.words[3]) ^ rule->address.words[3]);
    if (!differing) return rule->number;
  }
  return 0;
}

static __always_inline int is_resolver(const struct casa_address *address, __u16 port) {
  struct casa_settings *set = current_settings();
  if (!set || port != set->resolver_port) return 0;
  for (__u32 i = 0; i < CASA_MAX_RESOLVERS; i++) {
    if (i >= set->resolver_count) break;
    if (is_same_address(address, &set->resolvers[i])) return 1;
  }
  return 0;
}

/* CASA_BY_LLM, CASA_LLM_EXPIRED or CASA_NO_RULE. */
static __noinline __u32 llm_verdict(const struct casa_policy *policy, casa_workload workload,
                             const struct casa_address *address) {
  struct casa_admitted *known = bpf_map_lookup_elem(&admitted, &workload);
  if (!known || known->llm != policy->llm) return CASA_NO_RULE;
  __u64 now = bpf_ktime_get_boot_ns();
  __u8 found = CASA_NO_RULE;
  for (__u32 i = 0; i < CASA_MAX_ADMITTED; i++) {
    const struct casa_admission *admission = &known->admissions[i];
    if (!admission->until_ns || !is_same_address(&admission->address, address)) continue;
    if (admission->until_ns > now) return CASA_BY_LLM;
    found = CASA_LLM_EXPIRED;
  }
  return found;
}

/* The verdict: a casa_reason, and above its eight bits the number of the rule. */
#define VERDICT(reason, rule) ((__u32)(reason) | (__u32)(rule) << 8)
#define VERDICT_REASON(verdict) ((__u8)(verdict))
#define VERDICT_RULE(verdict) ((__u16)((verdict) >> 8))

/* `packet`: a packet is judged, which the packet filter may have redirected; else what a process asks for. */
static __always_inline __u32 judge(const struct casa_policy *policy, const struct question *asked, int packet) {
  __u16 rule;
  if (asked->direction == CASA_INBOUND) {
    rule = permitting_rule(policy, &asked->remote, asked->local_port, CASA_INBOUND, asked->protocol);
    return VERDICT(rule ? CASA_BY_RULE : CASA_NO_RULE, rule);
  }
  if (asked->protocol == IPPROTO_UDP && is_resolver(&asked->remote, asked->remote_port))
    return VERDICT(CASA_BY_RESOLVER, 0);
  /* A name server that nobody permitted could be asked, and answer, anything. */
  if (asked->remote_port == 53) return VERDICT(asked->protocol == IPPROTO_TCP ? CASA_DNS_TCP : CASA_NO_RULE, 0);
  if (asked->protocol == IPPROTO_TCP && policy->proxy_port &&
      (!packet || (asked->remote_port == policy->proxy_port && is_same_address(&asked->remote, &policy->proxy))))
    return VERDICT(CASA_BY_PROXY, 0);
  rule = permitting_rule(policy, &asked->remote, asked->remote_port, CASA_OUTBOUND, asked->protocol);
  if (rule) return VERDICT(CASA_BY_RULE, rule);
  if (policy->llm && asked->protocol == IPPROTO_TCP && asked->remote_port == policy->llm_port)
    return VERDICT(llm_verdict(policy, asked->workload, &asked->remote), 0);
  return VERDICT(CASA_NO_RULE, 0);
}

#endif
