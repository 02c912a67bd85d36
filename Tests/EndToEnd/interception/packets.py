"""Writes one JSON line for every IP packet that reaches this network namespace; neighbour discovery is left out."""

from __future__ import annotations

import ipaddress
import json
import socket

ALL_PROTOCOLS = 3
ICMPV6 = 58


def described(packet: bytes) -> dict[str, object] | None:
    version = packet[0] >> 4
    if version == 4 and len(packet) >= 20:
        header = (packet[0] & 15) * 4
        protocol, source, target = packet[9], packet[12:16], packet[16:20]
    elif version == 6 and len(packet) >= 40:
        header, protocol, source, target = 40, packet[6], packet[8:24], packet[24:40]
    else:
        return None
    # Router and neighbour discovery, and reports of multicast groups (with an option before them).
    if version == 6 and (protocol == 0 or (protocol == ICMPV6 and 130 <= packet[header] <= 143)):
        return None
    return {
        "from": str(ipaddress.ip_address(source)),
        "to": str(ipaddress.ip_address(target)),
        "protocol": protocol,
        "payload": packet[header : header + 64].decode("latin-1"),
    }


def main() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS)) as watched:
        print("ready", flush=True)
        while True:
            packet, (_, _, kind, *_) = watched.recvfrom(65536)
            seen = described(packet) if kind != socket.PACKET_OUTGOING and packet else None
            if seen:
                print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
