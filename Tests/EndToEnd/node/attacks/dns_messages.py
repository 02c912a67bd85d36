"""DNS messages (RFC 1035), well formed or not."""

from __future__ import annotations

import ipaddress
import secrets
import struct
from dataclasses import dataclass

A, NS, CNAME, NULL, MX, TXT, AAAA, SRV, OPT, HTTPS, ANY = 1, 2, 5, 10, 15, 16, 28, 33, 41, 65, 255
IN, CHAOS = 1, 3
COOKIE, PADDING = 10, 12
QUERY = 0x0100
"""A query that asks for recursion."""
RESPONSE = 0x8180
NAME_ERROR = 3


def wire(name: str) -> bytes:
    """A name in full."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def question(name: str | bytes, kind: int = A, in_class: int = IN) -> bytes:
    return (wire(name) if isinstance(name, str) else name) + struct.pack("!HH", kind, in_class)


def query(
    name: str | bytes,
    kind: int = A,
    *,
    flags: int = QUERY,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    in_class: int = IN,
    more: bytes = b"",
    number: int | None = None,
) -> bytes:
    """A message with one question, and whatever else."""
    number = secrets.randbelow(1 << 16) if number is None else number
    return struct.pack("!6H", number, flags, *counts) + question(name, kind, in_class) + more


def options(*each: tuple[int, bytes], room: int | None = None) -> bytes:
    """An EDNS record (RFC 6891); `room` lies about its length."""
    data = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in each)
    return b"\0" + struct.pack("!HHIH", OPT, 1232, 0, len(data) if room is None else room) + data


@dataclass(frozen=True)
class Record:
    owner: str
    kind: int
    data: str
    ttl: int = 60


def address(owner: str, text: str, ttl: int = 60) -> Record:
    return Record(owner, AAAA if ":" in text else A, text, ttl)


class Writer:
    """Writes names in full, or as pointers to where they stand already."""

    def __init__(self, compresses: bool) -> None:
        self.bytes = bytearray()
        self.compresses = compresses
        self.places: dict[str, int] = {}

    def name(self, name: str) -> None:
        labels = name.split(".")
        for place in range(len(labels)):
            rest = ".".join(labels[place:]).lower()
            if self.compresses and rest in self.places:
                self.bytes += struct.pack("!H", 0xC000 | self.places[rest])
                return
            self.places.setdefault(rest, len(self.bytes))
            self.bytes += bytes([len(labels[place])]) + labels[place].encode()
        self.bytes += b"\0"

    def record(self, record: Record) -> None:
        self.name(record.owner)
        self.bytes += struct.pack("!HHI", record.kind, IN, record.ttl)
        length = len(self.bytes)
        self.bytes += bytes(2)
        if record.kind == CNAME:
            self.name(record.data)
        else:
            self.bytes += ipaddress.ip_address(record.data).packed
        self.bytes[length : length + 2] = struct.pack("!H", len(self.bytes) - length - 2)


def name_of(asked: bytes) -> str:
    """The name of a message's question."""
    labels, at = [], 12
    while asked[at]:
        labels.append(asked[at + 1 : at + 1 + asked[at]].decode())
        at += 1 + asked[at]
    return ".".join(labels)


def kind_of(asked: bytes) -> int:
    kind: int = struct.unpack_from("!H", asked, 12 + len(wire(name_of(asked))))[0]
    return kind


def answer(
    asked: bytes,
    *records: Record,
    additional: tuple[Record, ...] = (),
    compresses: bool = True,
    name: str | None = None,
    number_off_by: int = 0,
    error: int = 0,
) -> bytes:
    """The answer to a question; of another name or number where the test says so."""
    number = (int.from_bytes(asked[:2], "big") + number_off_by) % (1 << 16)
    writer = Writer(compresses)
    writer.bytes += struct.pack("!6H", number, RESPONSE | error, 1, len(records), 0, len(additional))
    writer.name(name or name_of(asked))
    writer.bytes += struct.pack("!HH", kind_of(asked), IN)
    for record in (*records, *additional):
        writer.record(record)
    return bytes(writer.bytes)
