"""Attacks that only packet rules stop: each is refused, and nothing arrives at its target."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from casa_stack import message_send, new_traceparent
from pods import APP_USER, Bank, Node

Json = dict[str, Any]

CONNECT = """
import json, socket, sys, time
family, host, port, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])
connection = socket.socket(socket.AF_INET if family == "4" else socket.AF_INET6)
connection.settimeout(float(sys.argv[5]))
began, received, end = time.monotonic(), b"", "closed"
try:
    connection.connect((host, port))
    if data:
        connection.sendall(data)
    while part := connection.recv(65536):
        received += part
except TimeoutError:
    end = "open"
except OSError as error:
    end = type(error).__name__
print(json.dumps({"received": received.decode("latin-1"), "end": end, "seconds": time.monotonic() - began}))
"""

CLIENT_HELLO = bytes.fromhex("16030100300100002c0303") + bytes(32) + bytes.fromhex("00000213010100000100")


def connect(node: Node, family: str, host: str, port: int, data: bytes = b"", patience: float = 20) -> Json:
    """Connects as the app does, sends, and reads until the other side closes."""
    return node.python(CONNECT, family, host, str(port), data.hex(), str(patience))


def request(host: str, method: str = "GET", target: str = "/") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def status(seen: Json) -> str:
    return seen["received"].split("\r\n", 1)[0]


def nothing_arrived(pods: Bank) -> bool:
    return pods.elsewhere.arrived(pods["agent"]) == []


def test_the_watch_over_packets_sees_them(pods: Bank) -> None:
    """What the other tests rest on: a host without rules does reach the target, and that is seen."""
    pods["llm"].run("ping", "-c1", "-W1", pods["elsewhere"].ipv4, user=None)
    for family, host in (("4", pods["elsewhere"].ipv4), ("6", pods["elsewhere"].ipv6)):
        seen = connect(pods["llm"], family, host, 81)
        assert seen["end"] == "ConnectionRefusedError"
    assert len({packet["from"] for packet in pods.elsewhere.arrived(pods["llm"])}) == 2


# 33: past the proxy


@pytest.mark.parametrize("port", [22, 53, 80, 443, 8000, 15_001, 15_006, 65_535])
@pytest.mark.parametrize("family", ["4", "6", "mapped"])
@pytest.mark.attack(33, "behind interception: a connection by address is refused", layer="kernel")
def test_33_a_connection_by_address_is_refused(pods: Bank, family: str, port: int) -> None:
    target = pods["elsewhere"]
    host = {"4": target.ipv4, "6": target.ipv6, "mapped": f"::ffff:{target.ipv4}"}[family]
    seen = connect(pods["agent"], "4" if family == "4" else "6", host, port, request(host))
    assert status(seen) == "HTTP/1.1 403 Forbidden" and "destination_not_allowed" in seen["received"]
    assert nothing_arrived(pods)


SEND = """
import json, socket, sys
family, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinds = {"udp": (socket.SOCK_DGRAM, 0), "ping": (socket.SOCK_DGRAM, 1 if family == "4" else 58),
         "sctp": (socket.SOCK_STREAM, 132), "dccp": (6, 33), "udplite": (socket.SOCK_DGRAM, 136),
         "mptcp": (socket.SOCK_STREAM, 262), "raw": (socket.SOCK_RAW, 255), "icmp": (socket.SOCK_RAW, 1)}
kind, protocol = kinds[sys.argv[4]]
happened = []
try:
    sender = socket.socket(socket.AF_INET if family == "4" else socket.AF_INET6, kind, protocol)
    sender.settimeout(1)
    happened.append("made")
    if kind == socket.SOCK_STREAM or kind == 6:
        sender.connect((host, port))
        happened.append("connected")
        sender.sendall(b"GET / HTTP/1.1\\r\\nHost: elsewhere\\r\\n\\r\\n")
        happened.append(sender.recv(20).decode("latin-1"))
    else:
        data = b"\\x08\\x00\\x00\\x00\\x00\\x01\\x00\\x01" if family == "4" else b"\\x80\\x00\\x00\\x00\\x00\\x01\\x00\\x01"
        sender.sendto(data, (host, port))
        happened.append("sent")
        happened.append(sender.recv(100).decode("latin-1"))
except OSError as error:
    happened.append(type(error).__name__)
print(json.dumps({"happened": happened}))
"""


@pytest.mark.parametrize("kind", ["udp", "ping", "sctp", "dccp", "udplite", "mptcp", "raw", "icmp"])
@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.attack(33, "behind interception: no other protocol leaves", layer="kernel")
def test_33_no_other_protocol_leaves(pods: Bank, family: str, kind: str) -> None:
    """UDP (QUIC is UDP 443), pings, SCTP, DCCP, UDP-Lite, raw sockets; multipath TCP is TCP and redirected."""
    target = pods["elsewhere"]
    pods["agent"].run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647", user=None)
    for port in (53, 443):
        host = target.ipv4 if family == "4" else target.ipv6
        happened = pods["agent"].python(SEND, family, host, str(port), kind)["happened"]
        assert kind != "udp" or happened == ["made", "PermissionError"], "a refusal is seen at once"
        assert happened[-1].startswith("HTTP/1.1 40") if "connected" in happened else happened[-1].endswith("Error")
    assert nothing_arrived(pods)


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.attack(33, "behind interception: names are asked only of the resolver", layer="kernel")
def test_33_names_are_asked_only_of_the_resolver(pods: Bank, family: str) -> None:
    """The resolver answers the app; another one is not reached by UDP or TCP."""
    code = "import json, socket; print(json.dumps({'a': socket.gethostbyname('bank.test')}))"
    assert pods["agent"].python(code)["a"] == pods["bank"].ipv4
    host = pods["elsewhere"].ipv4 if family == "-4" else pods["elsewhere"].ipv6
    seen = connect(pods["agent"], family[1:], host, 53, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    assert seen["end"] != "open" and "HTTP/1.1 200" not in seen["received"]
    assert nothing_arrived(pods)


UNSPEC = """
import ctypes, json, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
connection = socket.socket()
connection.settimeout(10)
connection.connect((sys.argv[1], 8000))
unspecified = (ctypes.c_char * 16)()
assert libc.connect(connection.fileno(), unspecified, 16) == 0
connection.connect((sys.argv[2], 80))
connection.sendall(b"GET / HTTP/1.1\\r\\nHost: elsewhere.test\\r\\n\\r\\n")
print(json.dumps({"received": connection.recv(65536).decode()}))
"""


@pytest.mark.attack(33, "behind interception: a socket that is disconnected and connected again is redirected", layer="kernel")
def test_33_a_socket_that_is_disconnected_and_connected_again_is_redirected(pods: Bank) -> None:
    seen = pods["agent"].python(UNSPEC, pods["bank"].ipv4, pods["elsewhere"].ipv4)
    assert status(seen) == "HTTP/1.1 403 Forbidden"
    assert nothing_arrived(pods)


BOUND = """
import json, socket, sys
happened = []
for host in sys.argv[1:]:
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.settimeout(2)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        connection.connect((host, 80))
        connection.sendall(b"GET / HTTP/1.1\\r\\nHost: elsewhere.test\\r\\n\\r\\n")
        happened.append(connection.recv(20).decode())
    except OSError as error:
        happened.append(type(error).__name__)
print(json.dumps({"happened": happened}))
"""


@pytest.mark.attack(33, "behind interception: a socket bound to the interface gets no further", layer="kernel")
def test_33_a_socket_bound_to_the_interface_gets_no_further(pods: Bank) -> None:
    hosts = [pods["elsewhere"].ipv4, pods["elsewhere"].ipv6, "127.0.0.1"]
    for happened in pods["agent"].python(BOUND, *hosts)["happened"]:
        assert happened.endswith("Error") or happened.startswith("HTTP/1.1 403")
    assert nothing_arrived(pods)


@pytest.mark.parametrize("port", [15_001, 15_006])
@pytest.mark.attack(33, "behind interception: the sidecars own ports are closed to the app", layer="kernel")
def test_33_the_sidecars_own_ports_are_closed_to_the_app(pods: Bank, port: int) -> None:
    for family, host in (("4", "127.0.0.1"), ("6", "::1"), ("4", pods["agent"].ipv4), ("6", pods["agent"].ipv6)):
        seen = connect(pods["agent"], family, host, port, request("bank.test:8000"))
        assert (seen["end"], seen["received"]) == ("ConnectionRefusedError", "")


@pytest.mark.attack(33, "behind interception: a connection older than the rules ends", layer="kernel")
def test_33_a_connection_older_than_the_rules_ends(pods: Bank) -> None:
    """What was connected before carries nothing once the rules are there."""
    node = pods["agent"]
    assert node.intercept("--remove").returncode == 0
    try:
        code = """
import json, socket, sys
connection = socket.create_connection((sys.argv[1], 80), 5)
print("connected", flush=True)
sys.stdin.readline()
connection.settimeout(3)
happened = []
try:
    connection.sendall(b"GET /healthz?old HTTP/1.1\\r\\nHost: llm.test\\r\\n\\r\\n")
    happened.append(connection.recv(100).decode())
except OSError as error:
    happened.append(type(error).__name__)
print(json.dumps(happened), flush=True)
"""
        old = subprocess.Popen(
            node.command(sys.executable, "-c", code, pods["llm"].ipv4, user=APP_USER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert old.stdout and old.stdin
        assert old.stdout.readline() == "connected\n"
    finally:
        assert node.intercept().returncode == 0
    old.stdin.write("\n")
    old.stdin.flush()
    assert json.loads(old.stdout.readline())[0].endswith("Error")
    old.wait(10)


@pytest.mark.attack(33, "behind interception: a pods other ports take nothing", layer="kernel")
def test_33_a_pods_other_ports_take_nothing(pods: Bank) -> None:
    for port in (22, 15_000, 15_001, 15_006, 8001):
        seen = connect(pods["llm"], "4", pods["bank"].ipv4, port, request("bank.test:8000"), patience=2)
        assert status(seen) in ("", "HTTP/1.1 403 Forbidden")
        assert "www-authenticate" not in seen["received"], "nobody was asked"


@pytest.mark.attack(33, "behind interception: an app is not reached without a token", layer="kernel")
def test_33_an_app_is_not_reached_without_a_token(pods: Bank) -> None:
    calls = pods.ledger()["callCount"]
    for family, host in (("4", pods["bank"].ipv4), ("6", pods["bank"].ipv6)):
        body = b"{}"
        head = f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        seen = connect(pods["llm"], family, f"{host}", 8000, head.encode() + body)
        assert status(seen) == "HTTP/1.1 403 Forbidden" and "token_missing" in seen["received"]
    assert pods.ledger()["callCount"] == calls


# 18: what is not HTTP


@pytest.mark.parametrize(
    "data",
    [CLIENT_HELLO, b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 64, b"EHLO example\r\n", b"\x05\x01\x00", b"\xff" * 9000],
    ids=["tls", "ssh", "zeros", "smtp", "socks", "ones"],
)
@pytest.mark.parametrize("name", ["elsewhere", "bank"])
@pytest.mark.attack(18, "behind interception: what is not http is closed at once", layer="proxy")
def test_18_what_is_not_http_is_closed_at_once(pods: Bank, name: str, data: bytes) -> None:
    calls = pods.ledger()["callCount"]
    seen = connect(pods["agent"], "4", pods[name].ipv4, 8000, data)
    assert seen["end"] != "open" and seen["seconds"] < 12
    assert status(seen) in ("", "HTTP/1.1 400 Bad Request")
    assert nothing_arrived(pods) and pods.ledger()["callCount"] == calls


@pytest.mark.attack(18, "behind interception: who says nothing is closed in bounded time", layer="proxy")
def test_18_who_says_nothing_is_closed_in_bounded_time(pods: Bank) -> None:
    seen = connect(pods["agent"], "4", pods["elsewhere"].ipv4, 3306)
    assert seen["end"] != "open" and 5 < seen["seconds"] < 15
    assert nothing_arrived(pods)


@pytest.mark.parametrize("data", [CLIENT_HELLO, b"\x00" * 64], ids=["tls", "zeros"])
@pytest.mark.attack(18, "behind interception: what is not http does not enter", layer="proxy")
def test_18_what_is_not_http_does_not_enter(pods: Bank, data: bytes) -> None:
    calls = pods.ledger()["callCount"]
    seen = connect(pods["llm"], "4", pods["bank"].ipv4, 8000, data)
    assert seen["end"] != "open" and seen["seconds"] < 12
    assert pods.ledger()["callCount"] == calls


# 14: hosts


@pytest.mark.parametrize(
    "host",
    ["bank.test", "bank.test.:8000", "bank.test:8000.", "xbank.test:8000", "bank.test:80", "bank.test:08000",
     "bank.test:8000,elsewhere.test", "elsewhere.test", "elsewhere.test:8000", "127.0.0.1:8000", "localhost:8000",
     "bank.test:8000@elsewhere.test", "bank.test%00:8000", "[::1]:8000", "BANK.TEST", "*", "user@bank.test:8000"],
)  # fmt: skip
@pytest.mark.attack(14, "behind interception: a host that is no destination is refused and nobody asked", layer="proxy")
def test_14_a_host_that_is_no_destination_is_refused_and_nobody_asked(pods: Bank, host: str) -> None:
    calls = pods.ledger()["callCount"]
    for target in ("elsewhere", "bank"):
        seen = connect(pods["agent"], "4", pods[target].ipv4, 8000, request(host, "POST", "/mcp"))
        assert status(seen) in ("HTTP/1.1 403 Forbidden", "HTTP/1.1 400 Bad Request")
        assert "destination_not_allowed" in seen["received"] or "400" in status(seen)
    assert nothing_arrived(pods) and pods.ledger()["callCount"] == calls


@pytest.mark.parametrize("host", ["bank.test:8000", "BANK.test:8000"])
@pytest.mark.attack(14, "behind interception: another's host at an address of one's choice", layer="proxy")
def test_14_anothers_host_at_an_address_of_ones_choice_reaches_the_destination_of_that_name(
    pods: Bank, host: str
) -> None:
    """It is decided about as a call to the bank, and would go to the bank: the address counts for nothing."""
    seen = connect(pods["agent"], "4", pods["elsewhere"].ipv4, 80, request(host, "POST", "/mcp"))
    assert status(seen) == "HTTP/1.1 403 Forbidden"
    assert "destination_not_allowed" not in seen["received"] and "protocol" in seen["received"]
    assert nothing_arrived(pods)


@pytest.mark.attack(14, "behind interception: the address counts for nothing for a good call either", layer="proxy")
def test_14_the_address_counts_for_nothing_for_a_good_call_either(pods: Bank) -> None:
    """A proper call that is addressed to elsewhere by IP arrives at the agent."""
    fields = ["-H", "content-type: application/json", "-H", f"traceparent: {new_traceparent()}"]
    body = json.dumps(message_send("Good morning."))
    lead = f"agent.test:8000:{pods['elsewhere'].ipv4}"
    done = pods["client"].curl("--resolve", lead, "http://agent.test:8000/", *fields, "-d", body)
    assert done.stdout.endswith("200"), done.stdout
    assert not pods.elsewhere.arrived(pods["client"])


@pytest.mark.parametrize(
    "data",
    [
        b"GET http://elsewhere.test/ HTTP/1.1\r\nHost: bank.test:8000\r\nConnection: close\r\n\r\n",
        b"CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: elsewhere.test:443\r\n\r\n",
        b"CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: bank.test:8000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: bank.test:8000\r\nHost: elsewhere.test\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
    ids=["absolute", "connect", "connect-other-host", "two-hosts", "no-host", "http-1.0"],
)
@pytest.mark.attack(14, "behind interception: other ways to name a host are refused", layer="proxy")
def test_14_other_ways_to_name_a_host_are_refused(pods: Bank, data: bytes) -> None:
    calls = pods.ledger()["callCount"]
    seen = connect(pods["agent"], "4", pods["elsewhere"].ipv4, 80, data)
    assert seen["end"] != "open"
    assert status(seen).split(" ")[1:2] in ([], ["400"], ["403"], ["404"], ["426"]), seen
    assert nothing_arrived(pods) and pods.ledger()["callCount"] == calls


def test_a_metadata_service_is_not_reached(pods: Bank) -> None:
    """The link-local address of clouds' metadata services is one like any other."""
    node = pods["agent"]
    node.run("ip", "route", "replace", "169.254.169.254", "via", pods["elsewhere"].ipv4, user=None)
    seen = connect(node, "4", "169.254.169.254", 80, request("169.254.169.254", target="/latest/meta-data/"))
    assert status(seen) == "HTTP/1.1 403 Forbidden"
    assert nothing_arrived(pods)
