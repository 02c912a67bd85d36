/* A packet's addresses, ports and payload. */
#ifndef CASA_PACKET_H
#define CASA_PACKET_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "maps.h"

struct packet {
  casa_workload workload; /* its socket's, once it is needed */
  struct casa_address source, destination;
  __u16 source_port, destination_port;
  __u8 protocol; /* 0: it could not be read */
  __u8 is_syn; /* a SYN without ACK: a connection begins */
  __u32 sequence;
  __u32 payload_offset; /* from the network header */
  __u32 payload_bytes;
};

/* A header, from where the packet's own bytes begin; the helper is asked only when they are elsewhere. */
#define READ_HEADER(skb, offset, header)                                                         \
  ({                                                                                             \
    const typeof(*(header)) *at_ = (const void *)(long)(skb)->data + (offset);                   \
    int failed_ = 0;                                                                             \
    if ((const void *)(at_ + 1) <= (const void *)(long)(skb)->data_end)                          \
      *(header) = *at_;                                                                          \
    else                                                                                         \
      failed_ = !!bpf_skb_load_bytes(skb, offset, header, sizeof(*(header)));                    \
    failed_;                                                                                     \
  })

/* 0 when it is TCP or UDP and could be read. Fragments and IPv6 extension headers are not read: on their way out
 * packets are not cut up yet, and on their way in they were put together again. */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *packet) {
  __u32 offset;
  if (skb->protocol == bpf_htons(0x0800)) {
    struct iphdr ip;
    if (READ_HEADER(skb, 0, &ip)) return -1;
    if (ip.version != 4 || ip.ihl < 5 || (ip.frag_off & bpf_htons(0x3fff))) return -1;
    set_v4(&packet->source, ip.saddr);
    set_v4(&packet->destination, ip.daddr);
    packet->protocol = ip.protocol;
    offset = ip.ihl * 4;
  } else if (skb->protocol == bpf_htons(0x86dd)) {
    struct ipv6hdr ip;
    if (READ_HEADER(skb, 0, &ip)) return -1;
    if (ip.version != 6) return -1;
    __builtin_memcpy(&packet->source, &ip.saddr, 16);
    __builtin_memcpy(&packet->destination, &ip.daddr, 16);
    packet->protocol = ip.nexthdr;
    offset = sizeof(ip);
  } else {
    return -1;
  }
  packet->is_syn = 0;
  packet->sequence = 0;
  if (packet->protocol == IPPROTO_TCP) {
    struct tcphdr tcp;
    if (READ_HEADER(skb, offset, &tcp) || tcp.doff < 5) return -1;
    packet->source_port = bpf_ntohs(tcp.source);
    packet->destination_port = bpf_ntohs(tcp.dest);
    packet->is_syn = tcp.syn && !tcp.ack;
    packet->sequence = bpf_ntohl(tcp.seq) + tcp.syn;
    offset += tcp.doff * 4;
  } else if (packet->protocol == IPPROTO_UDP) {
    struct udphdr udp;
    if (READ_HEADER(skb, offset, &udp)) return -1;
    packet->source_port = bpf_ntohs(udp.source);
    packet->destination_port = bpf_ntohs(udp.dest);
    offset += sizeof(udp);
  } else {
    return -1;
  }
  if (skb->len < offset) return -1;
  packet->payload_offset = offset;
  packet->payload_bytes = skb->len - offset;
  return 0;
}

/* Copies the payload to the scratch, as far as it has room; the number of bytes, 0 on failure. */
static __always_inline __u32 load_payload(struct __sk_buff *skb, const struct packet *packet, struct scratch *scratch) {
  __u32 bytes = packet->payload_bytes;
  if (bytes == 0) return 0;
  if (bytes > SCRATCH_BYTES) bytes = SCRATCH_BYTES;
  /* For the verifier: 1...SCRATCH_BYTES. */
  bytes = ((bytes - 1) & (SCRATCH_BYTES - 1)) + 1;
  return bpf_skb_load_bytes(skb, packet->payload_offset, scratch->bytes, bytes) ? 0 : bytes;
}

/* A byte of what was loaded. Callers compare `at` with the end first; the mask is for the verifier. */
#define SCRATCH_BYTE(scratch, at) ((scratch)->bytes[(at) & (SCRATCH_BYTES - 1)])
static __always_inline __u8 scratch_u8(const struct scratch *scratch, __u32 at) { return SCRATCH_BYTE(scratch, at); }
static __always_inline __u32 scratch_u16(const struct scratch *scratch, __u32 at) {
  return (__u32)SCRATCH_BYTE(scratch, at) << 8 | SCRATCH_BYTE(scratch, at + 1);
}

#endif
