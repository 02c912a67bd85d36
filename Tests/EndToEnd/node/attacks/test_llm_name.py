"""Attack 34: the LLM is the one host that is known by name. Its addresses are those that the resolver gave."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import secrets
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns_messages as dns
import pytest
from casa_node import Node
from casa_runtime import Json, free_port
from dns_messages import Record
from servers import NameServer, TLSServer, make_certificate, own_network
from system_calls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    TCP_FASTOPEN_NO_COOKIE,
    TUNSETIFF,
    bind_mount,
    connect_to_nothing,
    enter_network,
    make_mounts_private,
    raise_loopback,
    unshare,
)
from tls_hello import (
    ENCRYPTED_CLIENT_HELLO,
    GREASE,
    SERVER_NAME,
    client_hello,
    in_two_records,
    server_name,
    with_extension,
)
from workloads import Workload, Workloads, outcome

LLM, OTHER, TOOLS, EDGE = "llm.example.test", "other.example.test", "tools.example.test", "edge.cdn.example"
NETWORK = own_network()
RESOLVER, LLM_V4, ATTACKER, STRANGER = (f"{NETWORK}.{last}" for last in (53, 10, 66, 67))
LLM_V6 = f"fdca:5a::{os.getpid():x}"
FAR_RESOLVER = f"198.19.{os.getpid() % 251}.53"
"""One that no network of this machine leads to."""
ANSWERS = free_port()
"""A port on which the workload may answer."""
WORD = b"what the user asked for"
REFUSED, NOTHING_CAME = "EPERM", "timed out"
HELD_BACK, PATIENCE = 0.4, 10.0
"""How long to wait for what must not come, on one machine a thousand times what it takes; and for what must."""

RULES: Json = {
    "llm": {"host": LLM},
    "resolve": [TOOLS],
    "inbound": [{"from": "any", "ports": ANSWERS, "protocol": "udp"}],
}
Answers = Callable[[bytes], list[bytes]]


def attack(case: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(34, case, layer="kernel")


def attacks(name: str, cases: dict[str, Any], what: str) -> pytest.MarkDecorator:
    made = [pytest.param(case, id=text, marks=attack(what.format(text))) for text, case in cases.items()]
    return pytest.mark.parametrize(name, made)


# What there is


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"), LLM, OTHER)


@pytest.fixture(scope="module")
def llm_server(certificate: Path, variant: list[str]) -> Iterator[TLSServer]:
    # Another for each variant: what was refused under one is sent again when its guard is gone.
    subprocess.run(["ip", "address", "add", f"{LLM_V6}/128", "dev", "lo", "nodad"], check=True)
    try:
        with TLSServer(certificate, [LLM_V4, LLM_V6]).running() as server:
            yield server
    finally:
        subprocess.run(["ip", "address", "del", f"{LLM_V6}/128", "dev", "lo"], check=True)


@pytest.fixture(scope="module")
def attackers_server(certificate: Path, variant: list[str]) -> Iterator[TLSServer]:
    with TLSServer(certificate, [ATTACKER]).running() as server:
        yield server


@pytest.fixture
def llm(llm_server: TLSServer) -> TLSServer:
    """What arrived there, arrived by this test."""
    llm_server.arrived.clear()
    return llm_server


@pytest.fixture
def attacker(attackers_server: TLSServer) -> TLSServer:
    attackers_server.arrived.clear()
    return attackers_server


@pytest.fixture(scope="module")
def one_name_server() -> Iterator[NameServer]:
    with NameServer(RESOLVER).running() as server:
        yield server


def truthful(asked: bytes) -> list[bytes]:
    by_kind = {dns.A: LLM_V4, dns.AAAA: LLM_V6}
    name, text = dns.name_of(asked), by_kind.get(dns.kind_of(asked))
    return [dns.answer(asked, *([dns.address(name, text)] if text else []))]


@pytest.fixture
def name_server(one_name_server: NameServer) -> NameServer:
    one_name_server.answers = truthful
    one_name_server.asked.clear()
    return one_name_server


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory, variant: list[str]) -> Iterator[Workloads]:
    node = Node(tmp_path_factory.mktemp("llm"), {}, arguments=variant)
    with Workloads(node, RULES, count=90, shared={"resolvers": [RESOLVER, FAR_RESOLVER]}).running() as all_of_them:
        yield all_of_them


@pytest.fixture
def workload(workloads: Workloads) -> Workload:
    """One that no other test uses."""
    return workloads.fresh()


# What a workload does


def ask(
    name: str = LLM, kind: int = dns.A, resolver: str = RESOLVER, port: int = 53, wait: float = PATIENCE
) -> bytes:
    """Asks a name server; its first answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(wait)
        datagrams.sendto(dns.query(name, kind), (resolver, port))
        return datagrams.recv(4096)


def asked(name: str = LLM, kind: int = dns.A, **more: Any) -> str:
    return str(outcome(lambda: ask(name, kind, **more) and "answered"))


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


class Client:
    """An LLM's client. It is made before it enters a workload, with all that it reads."""

    def __init__(self, certificate: Path) -> None:
        self.context = trusting(certificate)

    def session(self, address: str, name: str | None, wait: float = PATIENCE) -> ssl.SSLSocket:
        connection = socket.create_connection((address, 443), timeout=wait)
        return self.context.wrap_socket(connection, server_hostname=name)

    def say(self, address: str, name: str | None = LLM, wait: float = PATIENCE) -> str:
        """What came back over TLS, or why nothing did."""

        def act() -> str:
            with self.session(address, name, wait) as session:
                session.sendall(WORD)
                return session.recv(1024).decode()

        return str(outcome(act))


@pytest.fixture(scope="module")
def client(certificate: Path) -> Client:
    return Client(certificate)


def not_reached(workload: Workload, client: Client, server: TLSServer, reason: str = "no_rule") -> None:
    """An address of the server is none of the LLM's name."""
    address = server.addresses[0]
    assert workload.run(lambda: client.say(address)).value == REFUSED
    workload.refused(reason, "connect", remote=f"{address}:443")
    assert not server.arrived


# The LLM is reached


def chained(compresses: bool) -> Answers:
    def answers(asked: bytes) -> list[bytes]:
        middle = "chat.example.test"
        chain = Record(dns.name_of(asked), dns.CNAME, middle), Record(middle, dns.CNAME, EDGE)
        return [dns.answer(asked, *chain, dns.address(EDGE, LLM_V4), compresses=compresses)]

    return answers


def in_other_letters(asked: bytes) -> list[bytes]:
    return [dns.answer(asked, dns.address("LLM.example.TEST", LLM_V4), compresses=False)]


def among_others(asked: bytes) -> list[bytes]:
    records = [dns.address(OTHER, ATTACKER), dns.address(LLM, LLM_V4), dns.address(LLM, LLM_V6)]
    return [dns.answer(asked, *records)]


@pytest.mark.parametrize(
    ("name", "kind", "answers", "address"),
    [
        pytest.param(LLM, dns.A, truthful, LLM_V4, id="IPv4"),
        pytest.param(LLM, dns.AAAA, truthful, LLM_V6, id="IPv6"),
        pytest.param("LLm.exAmple.TeSt", dns.A, truthful, LLM_V4, id="asked in mixed letters"),
        pytest.param(LLM, dns.A, in_other_letters, LLM_V4, id="answered in other letters"),
        pytest.param(LLM, dns.A, chained(compresses=True), LLM_V4, id="a chain of CNAME records"),
        pytest.param(LLM, dns.A, chained(compresses=False), LLM_V4, id="a chain, its names in full"),
        pytest.param(LLM, dns.A, among_others, LLM_V4, id="among records of others"),
        pytest.param(LLM, dns.A, lambda asked: [bytes(300), *truthful(asked)], LLM_V4, id="after another's answer"),
    ],
)
def test_the_llm_is_reached_after_its_name_was_asked_for(
    workload: Workload, client: Client, llm: TLSServer, name_server: NameServer, name: str, kind: int, answers: Answers,
    address: str,
) -> None:  # fmt: skip
    name_server.answers = answers
    assert workload.run(lambda: [asked(name, kind), client.say(address)]).value == ["answered", WORD.decode()]
    workload.node.flow(kind="flow_opened", workload=workload.name, reason="llm")
    # By another process of it too, and under its name in other letters.
    assert workload.run(lambda: client.say(address, LLM.upper())).value == WORD.decode()


@pytest.mark.parametrize("user", [pytest.param(0, id="root"), pytest.param(65534, id="nobody")])
def test_an_unmodified_resolver_and_client_reach_the_llm(
    workload: Workload, certificate: Path, llm: TLSServer, name_server: NameServer, tmp_path: Path, user: int
) -> None:
    """glibc's resolver, which asks for both kinds of address at once, and Python's TLS."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(f"nameserver {RESOLVER}\noptions edns0 timeout:1\n")
    context = trusting(certificate)

    def act() -> str:
        unshare(CLONE_NEWNS)
        make_mounts_private()
        bind_mount(configuration, Path("/etc/resolv.conf"))
        if user:
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        with socket.create_connection((LLM, 443), timeout=5) as connection:
            with context.wrap_socket(connection, server_hostname=LLM) as session:
                session.sendall(WORD)
                return session.recv(1024).decode()

    assert workload.run(act).value == WORD.decode()
    assert {dns.kind_of(each) for each in name_server.asked} == {dns.A, dns.AAAA}
    # glibc connects datagram sockets to the addresses, to learn from which of its own it would reach them, and sends
    # nothing.
    assert all((each["hook"], each["protocol"]) == ("connect", "udp") for each in workload.refusals())


# Answers that are not the resolver's


@attack("the LLM's address, without asking for it")
def test_an_address_that_was_not_asked_for_is_not_reached(
    workload: Workload, client: Client, llm: TLSServer
) -> None:
    not_reached(workload, client, llm)


@attack("an address that another workload asked for")
def test_what_one_workload_asked_for_is_not_admitted_for_another(
    workloads: Workloads, workload: Workload, client: Client, llm: TLSServer, name_server: NameServer
) -> None:
    assert workloads.fresh().run(lambda: [asked(), client.say(LLM_V4)]).value == ["answered", WORD.decode()]
    llm.arrived.clear()
    not_reached(workload, client, llm)


def serve_names(address: str, port: int) -> None:
    """A name server for one question, by which the LLM's name has the attacker's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(1)
        server.bind((address, port))
        if os.fork() == 0:
            with contextlib.suppress(OSError):
                question, peer = server.recvfrom(4096)
                server.sendto(dns.answer(question, dns.address(LLM, ATTACKER)), peer)
            os._exit(0)


@attack("the workload's own resolver, on another port")
def test_a_resolver_of_its_own_on_another_port_is_not_asked(
    workload: Workload, client: Client, attacker: TLSServer
) -> None:
    def act() -> str:
        serve_names(STRANGER, ANSWERS)
        return asked(resolver=STRANGER, port=ANSWERS)

    assert workload.run(act).value == REFUSED
    workload.refused("no_rule", "send", remote=f"{STRANGER}:{ANSWERS}")
    not_reached(workload, client, attacker)


@attack("the workload's own resolver, which a rule lets it ask")
def test_answers_of_a_resolver_of_its_own_admit_nothing(
    workloads: Workloads, workload: Workload, client: Client, attacker: TLSServer
) -> None:
    may_ask = {**RULES, "outbound": [{"to": "any", "ports": "1024-65535", "protocol": "udp"}]}
    workloads.node.replace_policy(workloads.policy({workload.name: may_ask}))

    def act() -> str:
        serve_names(STRANGER, ANSWERS)
        return asked(resolver=STRANGER, port=ANSWERS)

    assert workload.run(act).value == "answered"
    not_reached(workload, client, attacker)


@attacks(
    "network",
    {"this machine's": False, "its own, with the resolver's address": True},
    "the workload's own resolver on port 53, in {} network",
)
def test_nobody_answers_from_a_name_servers_port(
    workloads: Workloads, workload: Workload, network: bool
) -> None:
    """Not even who may bind any port, and is root in a network of its own."""
    workloads.node.replace_policy(workloads.policy({workload.name: {**RULES, "bind": "any"}}))
    address = FAR_RESOLVER if network else STRANGER

    def bound(port: int) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((address, port))
            return "bound"

    def act() -> list[Any]:
        if network:
            unshare(CLONE_NEWNET)
            raise_loopback()
            subprocess.run(["ip", "address", "add", f"{FAR_RESOLVER}/32", "dev", "lo"], check=True)
        return [outcome(lambda: bound(ANSWERS + 1)), outcome(lambda: bound(53))]

    assert workload.run(act).value == ["bound", REFUSED]
    workload.refused("bind", "bind", local=f"{address}:53")


@attack("the resolver asked through a device whose other end is the workload's (TUN)")
def test_a_network_device_of_its_own_is_not_made(workload: Workload, client: Client, attacker: TLSServer) -> None:
    """What is written to such a device comes in as from any address, and so as the resolver's answer."""

    def act() -> str:
        before = Path("/proc/self/ns/net").open()
        unshare(CLONE_NEWNET)
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"wire", 0x1001).ljust(40, b"\0"))
        network = FAR_RESOLVER.rpartition(".")[0]
        subprocess.run(["ip", "address", "add", f"{network}.1/24", "dev", "wire"], check=True)
        subprocess.run(["ip", "link", "set", "wire", "up"], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(dns.query(LLM), (FAR_RESOLVER, 53))
            while (packet := os.read(device, 4096))[9:10] != b"\x11":
                pass
            os.write(device, answering(packet, dns.answer(packet[28:], dns.address(LLM, ATTACKER))))
            datagrams.settimeout(PATIENCE)
            datagrams.recv(4096)
        enter_network(Path(f"/proc/self/fd/{before.fileno()}"))
        return client.say(ATTACKER)

    ran = workload.run(act)
    assert ran.killed, ran
    workload.refused("escape", "syscall")
    not_reached(workload, client, attacker)


def answering(packet: bytes, message: bytes) -> bytes:
    """An IPv4 packet with a datagram back to where `packet` came from."""
    datagram = packet[22:24] + packet[20:22] + struct.pack("!HH", 8 + len(message), 0) + message
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + packet[16:20] + packet[12:16]
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", total ^ 0xFFFF) + head[12:] + datagram


@attack("a forged answer with the right number, from another socket")
def test_an_answer_from_elsewhere_does_not_come_in(
    workload: Workload, client: Client, attacker: TLSServer, name_server: NameServer
) -> None:
    name_server.answers = lambda asked: []

    def talk(channel: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(HELD_BACK)
            question = dns.query(LLM)
            datagrams.bind((NETWORK + ".1", 0))
            datagrams.sendto(question, (RESOLVER, 53))
            channel.send(struct.pack("!H", datagrams.getsockname()[1]) + question)
            channel.recv(16)
            channel.send(str(outcome(lambda: datagrams.recv(4096).hex())).encode())

    with workload.talking(talk) as channel:
        told = channel.recv(4096)
        for source, port in ((STRANGER, 53), (RESOLVER, free_port())):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
                forger.bind((source, port))
                answer = dns.answer(told[2:], dns.address(LLM, ATTACKER))
                forger.sendto(answer, (NETWORK + ".1", int.from_bytes(told[:2], "big")))
        channel.send(b"forged")
        assert channel.recv(4096) == NOTHING_CAME.encode()
    workload.refused("no_rule", "ingress", remote=f"{STRANGER}:53")
    not_reached(workload, client, attacker)


FORGED: dict[str, Answers] = {
    "another number": lambda asked: [dns.answer(asked, dns.address(LLM, ATTACKER), number_off_by=1)],
    "another name in the question": lambda asked: [dns.answer(asked, dns.address(LLM, ATTACKER), name=TOOLS)],
    "a name below in the question": lambda asked: [dns.answer(asked, dns.address(LLM, ATTACKER), name="a." + LLM)],
    "no answer's flag": lambda asked: [asked],
    "fewer bytes than a header": lambda asked: [asked[:2] + b"\x81\x80"],
}


@attacks("answers", FORGED, "an answer from the resolver's address, with {}")
def test_an_answer_to_no_question_does_not_come_in(
    workload: Workload, client: Client, attacker: TLSServer, name_server: NameServer, answers: Answers
) -> None:
    name_server.answers = answers
    assert workload.run(lambda: asked(wait=HELD_BACK)).value == NOTHING_CAME
    workload.refused("dns_forged", "ingress", remote=f"{RESOLVER}:53")
    not_reached(workload, client, attacker)


@attack("a second answer under the same number")
def test_a_question_is_answered_once(
    workload: Workload, client: Client, llm: TLSServer, attacker: TLSServer, name_server: NameServer
) -> None:
    name_server.answers = lambda asked: [*truthful(asked), dns.answer(asked, dns.address(LLM, ATTACKER))]

    def act() -> list[Any]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            datagrams.sendto(dns.query(LLM), (RESOLVER, 53))
            first = datagrams.recv(4096)
            datagrams.settimeout(HELD_BACK)
            return [first.hex(), outcome(lambda: datagrams.recv(4096).hex()), client.say(LLM_V4)]

    ran = workload.run(act)
    [expected] = truthful(name_server.asked[-1])
    assert ran.value == [expected.hex(), NOTHING_CAME, WORD.decode()]
    workload.refused("dns_forged", "ingress", remote=f"{RESOLVER}:53")
    not_reached(workload, client, attacker)


@attack("an answer to a socket that asked for another name")
def test_an_answer_comes_to_the_socket_that_asked(
    workload: Workload, client: Client, attacker: TLSServer, name_server: NameServer
) -> None:
    name_server.answers = lambda asked: [dns.answer(asked, dns.address(LLM, ATTACKER), name=LLM)]
    assert workload.run(lambda: asked(TOOLS)).value == "answered"
    not_reached(workload, client, attacker)


# Answers of the resolver that do not give the LLM's name an address


def malformed(asked: bytes) -> list[bytes]:
    """An answer whose record's owner is a pointer to itself."""
    answer = dns.answer(asked)
    record = struct.pack("!HHHIH", 0xC000 | len(answer), dns.A, dns.IN, 60, 4) + socket.inet_aton(ATTACKER)
    return [answer[:6] + b"\0\1" + answer[8:] + record]


def shortened(asked: bytes) -> list[bytes]:
    """An answer that says it has a record, and ends within it."""
    return [dns.answer(asked, dns.address(LLM, ATTACKER))[:-2]]


def of_another_class(asked: bytes) -> list[bytes]:
    answer = bytearray(dns.answer(asked, dns.address(LLM, ATTACKER)))
    answer[-12:-10] = struct.pack("!H", dns.CHAOS)
    return [bytes(answer)]


def record_of(*records: Record, **more: Any) -> Answers:
    return lambda asked: [dns.answer(asked, *records, **more)]


OTHER_RECORDS = {
    "another owner's": record_of(dns.address(OTHER, ATTACKER)),
    "another owner's, in full": record_of(dns.address(OTHER, ATTACKER), compresses=False),
    "the owner's above": record_of(dns.address("example.test", ATTACKER)),
    "the owner's below": record_of(dns.address("a." + LLM, ATTACKER)),
    "another owner's, in the additional section": record_of(
        dns.address(LLM, LLM_V4), additional=(dns.address(OTHER, ATTACKER),)
    ),
    "in the additional section": record_of(dns.address(LLM, LLM_V4), additional=(dns.address(LLM, ATTACKER),)),
    "at the end of a chain of another's": record_of(
        Record(OTHER, dns.CNAME, EDGE), dns.address(EDGE, ATTACKER), dns.address(LLM, LLM_V4)
    ),
    "of a name that the chain has left": record_of(Record(LLM, dns.CNAME, EDGE), dns.address(LLM, ATTACKER)),
    "before the chain leads to it": record_of(dns.address(EDGE, ATTACKER), Record(LLM, dns.CNAME, EDGE)),
    "with an error": record_of(dns.address(LLM, ATTACKER), error=dns.NAME_ERROR),
    "of another class": of_another_class,
    "whose owner points to itself": malformed,
    "that is cut off": shortened,
}


@attacks("answers", OTHER_RECORDS, "an address in the resolver's answer: {}")
def test_only_addresses_of_the_name_itself_are_admitted(
    workload: Workload, client: Client, attacker: TLSServer, name_server: NameServer, answers: Answers
) -> None:
    name_server.answers = answers
    assert workload.run(asked).value == "answered"
    not_reached(workload, client, attacker)


@attack("an address of a name that may be asked for, and is not the LLM's")
def test_an_address_of_another_name_is_not_admitted(
    workload: Workload, client: Client, attacker: TLSServer, name_server: NameServer
) -> None:
    name_server.answers = lambda asked: [dns.answer(asked, dns.address(TOOLS, ATTACKER))]
    assert workload.run(lambda: asked(TOOLS)).value == "answered"
    not_reached(workload, client, attacker)


INNER = {
    text: text
    for text in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::", "ff02::1")
}


@attacks("inner", INNER, "the LLM's name with the address {}")
def test_addresses_that_no_public_host_has_are_not_admitted(
    workload: Workload, name_server: NameServer, inner: str
) -> None:
    name_server.answers = lambda asked: [dns.answer(asked, dns.address(LLM, inner))]
    kind = dns.AAAA if ":" in inner else dns.A

    def connects() -> str:
        with socket.socket(socket.AF_INET6 if ":" in inner else socket.AF_INET) as connection:
            connection.settimeout(HELD_BACK)
            connection.connect((inner, 443))
            return "connected"

    assert workload.run(lambda: [asked(kind=kind), outcome(connects)]).value == ["answered", REFUSED]
    workload.refused("no_rule", "connect")
    assert not workload.node.flows(kind="llm_admitted", workload=workload.name)


# Time


def expire(node: Node, workload: str) -> None:
    """Lets the time of all addresses of a workload's LLM be over, in the kernel's map."""
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    held = libbpf.bpf_obj_get(os.fsencode(node.pins / "maps/admitted"))
    assert held >= 0, os.strerror(ctypes.get_errno())
    try:
        key = ctypes.create_string_buffer(workload_id(workload), 8)
        value = ctypes.create_string_buffer(16 + 32 * 24)
        assert libbpf.bpf_map_lookup_elem(held, key, value) == 0
        for place in range(32):
            until = 16 + place * 24 + 16
            if struct.unpack_from("=Q", value, until)[0]:
                struct.pack_into("=Q", value, until, 1)
        assert libbpf.bpf_map_update_elem(held, key, value, ctypes.c_uint64(0)) == 0
    finally:
        os.close(held)


def workload_id(name: str) -> bytes:
    """As the kernel names it, in this machine's byte order."""
    return struct.pack("=Q", int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


@attack("an address whose time is over")
def test_an_address_whose_time_is_over_is_asked_for_again(
    workload: Workload, client: Client, llm: TLSServer, name_server: NameServer
) -> None:
    assert workload.run(lambda: [asked(), client.say(LLM_V4)]).value == ["answered", WORD.decode()]
    expire(workload.node, workload.name)
    llm.arrived.clear()
    not_reached(workload, client, llm, "llm_expired")
    assert workload.run(lambda: [asked(), client.say(LLM_V4)]).value == ["answered", WORD.decode()]


@attack("a connection to what was the LLM, when it is another")
def test_a_connection_ends_when_the_llm_is_another(
    workloads: Workloads, workload: Workload, client: Client, llm: TLSServer, name_server: NameServer
) -> None:
    other = workloads.fresh()

    def talk(channel: socket.socket) -> None:
        ask()
        with client.session(LLM_V4, LLM) as session:

            def say() -> str:
                session.sendall(WORD)
                return session.recv(1024).decode()

            for _ in range(3):
                channel.send(str(outcome(say)).encode())
                session.settimeout(HELD_BACK if channel.recv(16) == b"it is cut" else PATIENCE)

    def change(rules: Json) -> None:
        workloads.node.replace_policy(workloads.policy({workload.name: rules}))

    with workload.talking(talk) as channel, other.talking(talk) as unchanged:
        for each in (channel, unchanged):
            assert each.recv(1024) == WORD
        # A change of another kind cuts nothing, nor does the end of the address's time.
        expire(workload.node, workload.name)
        change({**RULES, "resolve": [TOOLS, OTHER], "outbound": [{"to": STRANGER, "ports": 80}]})
        channel.send(b"again")
        assert channel.recv(1024) == WORD
        change({**RULES, "llm": {"host": OTHER}})
        channel.send(b"it is cut")
        unchanged.send(b"again")
        assert channel.recv(1024).decode() == NOTHING_CAME
        assert unchanged.recv(1024) == WORD
    workload.refused("no_rule", "egress", remote=f"{LLM_V4}:443")


# What is said to the LLM's address


def raw(first: bytes, *more: bytes, wait: float = HELD_BACK) -> Callable[[], str]:
    """Sends this, each in a packet of its own; what came back, in hexadecimal."""

    def act() -> str:
        with socket.socket() as connection:
            connection.settimeout(wait)
            connection.connect((LLM_V4, 443))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in (first, *more):
                connection.sendall(part)
            return connection.recv(1024).hex()

    return act


def in_the_syn(data: bytes, wait: float = HELD_BACK) -> Callable[[], str]:
    def act() -> str:
        with socket.socket() as connection:
            connection.settimeout(wait)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1)
            connection.sendto(data, socket.MSG_FASTOPEN, (LLM_V4, 443))
            return connection.recv(1024).hex()

    return act


HELLO, OTHERS_HELLO = client_hello(LLM), client_hello(OTHER)
NAME_AT = OTHERS_HELLO.index(OTHER.encode())
SAYINGS = {
    "another host's name": (raw(OTHERS_HELLO), "sni_other"),
    "a longer name": (raw(client_hello(LLM + ".evil.test")), "sni_other"),
    "a name below": (raw(client_hello("a." + LLM)), "sni_other"),
    "no TLS": (raw(b"POST / HTTP/1.1\r\nHost: llm.example.test\r\n\r\n"), "sni_missing"),
    "SSH": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "sni_missing"),
    "one byte": (raw(b"\x16"), "sni_missing"),
    "another name, cut within it": (raw(OTHERS_HELLO[: NAME_AT + 3], OTHERS_HELLO[NAME_AT + 3 :]), "sni_missing"),
    "another name, cut before it": (raw(OTHERS_HELLO[:60], OTHERS_HELLO[60:]), "sni_missing"),
    "another name, byte by byte": (raw(*(OTHERS_HELLO[at : at + 1] for at in range(200))), "sni_missing"),
    "in two records": (raw(in_two_records(HELLO, 80)), "sni_missing"),
    "two names, the right one first": (
        raw(with_extension(HELLO, SERVER_NAME, server_name(OTHER))), "sni_missing"
    ),
    "two names, the right one last": (
        raw(with_extension(OTHERS_HELLO, SERVER_NAME, server_name(LLM))), "sni_missing"
    ),
    "an encrypted ClientHello behind the right name": (
        raw(with_extension(HELLO, ENCRYPTED_CLIENT_HELLO, bytes(64))), "sni_missing"
    ),
    "another name in the SYN": (in_the_syn(OTHERS_HELLO), "sni_other"),
    "no TLS in the SYN": (in_the_syn(b"GET / HTTP/1.0\r\n\r\n"), "sni_missing"),
}  # fmt: skip


@attacks("saying", SAYINGS, "to the LLM's address: {}")
def test_nothing_but_tls_to_the_llm_by_its_name_is_said(
    workload: Workload, llm: TLSServer, name_server: NameServer, saying: tuple[Callable[[], str], str]
) -> None:
    act, reason = saying
    assert workload.run(lambda: [asked(), outcome(act)]).value == ["answered", NOTHING_CAME]
    workload.refused(reason, "egress", remote=f"{LLM_V4}:443")
    assert not llm.arrived


@attack("to the LLM's address: TLS without a name")
def test_tls_without_a_name_is_not_said(
    workload: Workload, client: Client, llm: TLSServer, name_server: NameServer
) -> None:
    assert workload.run(lambda: [asked(), client.say(LLM_V4, None, HELD_BACK)]).value == ["answered", NOTHING_CAME]
    workload.refused("sni_missing", "egress", remote=f"{LLM_V4}:443")
    assert not llm.arrived


@attack("to the LLM's address: another name over a socket that was connected there before (AF_UNSPEC)")
def test_each_connection_says_the_name(workload: Workload, llm: TLSServer, name_server: NameServer) -> None:
    def act() -> list[Any]:
        found: list[Any] = [asked()]
        with socket.socket() as connection:
            for hello, wait in ((HELLO, PATIENCE), (OTHERS_HELLO, HELD_BACK)):
                connection.settimeout(wait)

                def say(hello: bytes = hello) -> str:
                    connection.connect((LLM_V4, 443))
                    connection.sendall(hello)
                    return connection.recv(2).hex()

                found.append(outcome(say))
                connect_to_nothing(connection)
        return found

    assert workload.run(act).value == ["answered", "1603", NOTHING_CAME]
    workload.refused("sni_other", "egress", remote=f"{LLM_V4}:443")
    assert llm.arrived == [HELLO]


def test_a_hello_with_what_no_guard_knows_passes(workload: Workload, llm: TLSServer, name_server: NameServer) -> None:
    hello = with_extension(HELLO, GREASE, secrets.token_bytes(7))
    for act in (raw(hello, wait=PATIENCE), in_the_syn(hello, wait=PATIENCE)):
        answer = workload.run(lambda: [asked(), outcome(act)]).value[1]
        # A handshake's record.
        assert answer.startswith("1603"), answer
    assert llm.arrived == [hello] * 2


# Other ways to ask, and to the LLM


def tcp_to(address: str, port: int) -> Callable[[], str]:
    def act() -> str:
        with socket.create_connection((address, port), timeout=HELD_BACK):
            return "connected"

    return act


def udp_to(address: str, port: int, data: bytes) -> Callable[[], str]:
    def act() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(data, (address, port))
            return "sent"

    return act


OTHER_WAYS = {
    "DNS over TCP": (tcp_to(RESOLVER, 53), "dns_tcp", "connect", f"{RESOLVER}:53"),
    "DNS over TCP, elsewhere": (tcp_to(STRANGER, 53), "dns_tcp", "connect", f"{STRANGER}:53"),
    "DNS over TLS": (tcp_to(RESOLVER, 853), "no_rule", "connect", f"{RESOLVER}:853"),
    "DNS over HTTPS": (tcp_to(RESOLVER, 443), "no_rule", "connect", f"{RESOLVER}:443"),
    "DNS over QUIC": (udp_to(RESOLVER, 853, bytes(1200)), "no_rule", "send", f"{RESOLVER}:853"),
    "mDNS": (udp_to("224.0.0.251", 5353, dns.query(LLM)), "no_rule", "send", "224.0.0.251:5353"),
    "a question to another name server": (
        udp_to(STRANGER, 53, dns.query(LLM)), "no_rule", "send", f"{STRANGER}:53"
    ),
    "QUIC to the LLM": (udp_to(LLM_V4, 443, b"\xc0\0\0\0\1" + bytes(1195)), "no_rule", "send", f"{LLM_V4}:443"),
    "another port of the LLM's": (tcp_to(LLM_V4, 80), "no_rule", "connect", f"{LLM_V4}:80"),
}  # fmt: skip


@attacks("way", OTHER_WAYS, "another way: {}")
def test_there_is_no_other_way_to_ask_or_to_the_llm(
    workload: Workload, name_server: NameServer, way: tuple[Callable[[], str], str, str, str]
) -> None:
    act, reason, hook, remote = way
    assert workload.run(lambda: [asked(), outcome(act)]).value == ["answered", REFUSED]
    workload.refused(reason, hook, remote=remote)


# With the guard killed


@attack("all of it again, with the guard killed")
def test_a_killed_guard_changes_nothing(
    tmp_path: Path, client: Client, llm: TLSServer, attacker: TLSServer, name_server: NameServer
) -> None:
    node = Node(tmp_path, {})
    with Workloads(node, RULES, count=4, shared={"resolvers": [RESOLVER]}).running() as workloads:
        node.kill()
        unasked, forged, other, reached = (workloads.fresh() for _ in range(4))
        assert unasked.run(lambda: client.say(LLM_V4)).value == REFUSED
        assert reached.run(lambda: [asked(), client.say(LLM_V4)]).value == ["answered", WORD.decode()]
        assert other.run(lambda: [asked(), client.say(LLM_V4, OTHER, HELD_BACK)]).value == ["answered", NOTHING_CAME]
        name_server.answers = FORGED["another number"]
        assert forged.run(lambda: [asked(wait=HELD_BACK), client.say(ATTACKER)]).value == [NOTHING_CAME, REFUSED]
        assert len(llm.arrived) == 1 and not attacker.arrived
        # What nobody was there to read is told by the next one.
        node.start()
        unasked.refused("no_rule", "connect", remote=f"{LLM_V4}:443")
        other.refused("sni_other", "egress", remote=f"{LLM_V4}:443")
        forged.refused("dns_forged", "ingress", remote=f"{RESOLVER}:53")
