"""ClientHello messages (RFC 8446, 4.1.2), as OpenSSL writes them, and changed."""

from __future__ import annotations

import ssl
import struct

SERVER_NAME = 0
ENCRYPTED_CLIENT_HELLO = 0xFE0D
GREASE = 0x0A0A


def client_hello(name: str) -> bytes:
    """One record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def server_name(name: str) -> bytes:
    """The extension's data (RFC 6066, 3)."""
    text = name.encode()
    return struct.pack("!HBH", len(text) + 3, 0, len(text)) + text


def with_extension(hello: bytes, kind: int, data: bytes) -> bytes:
    """The same with one more extension, at the end."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    extensions = hello[at + 2 :] + struct.pack("!HH", kind, len(data)) + data
    body = hello[9:at] + struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return hello[:3] + struct.pack("!H", len(handshake)) + handshake


def in_two_records(hello: bytes, first: int) -> bytes:
    """The message, cut after `first` bytes into two records (RFC 8446, 5.1)."""
    message, head = hello[5:], hello[:3]
    parts = (message[:first], message[first:])
    return b"".join(head + struct.pack("!H", len(part)) + part for part in parts)
