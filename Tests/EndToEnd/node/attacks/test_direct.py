"""Attack 33: a workload goes past its proxy. Each way is tried where it may go, and arrives, and where it may not.

What may be reached and what may not differ in nothing but the port.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from casa_node import Node
from casa_runtime import Json, free_port
from servers import Echo, own_network
from system_calls import (
    CLONE_FILES,
    CLONE_NEWNET,
    NR_IOCTL,
    TCP_FASTOPEN_CONNECT,
    TCP_FASTOPEN_NO_COOKIE,
    TUNSETIFF,
    X86_64,
    clone,
    clone_into_cgroup,
    compat_system_call,
    connect_to_nothing,
    end_this_thread,
    enter_network,
    raise_loopback,
    send_to_no_family,
    system_call,
    unshare,
)
from workloads import NOBODY, ROOT_USER, Workload, Workloads, as_user, in_child, outcome

V4 = own_network() + ".1"
STRANGER = own_network() + ".2"
V6 = "::1"
NAMED_POD = "pods/named"
REFUSED = "EPERM"
WORD = b"a secret of the user's"
HELD_BACK, PATIENCE = 0.5, 10.0
"""How long to wait for bytes that must not come, on one machine a thousand times what they take; and for what must."""
USERS = {"root": ROOT_USER, "nobody": NOBODY}


def attack(case: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(33, case, layer="kernel")


# Where it may go, and where not


@dataclass(frozen=True)
class Network:
    """A network namespace, and this machine's address on the wire to it."""

    path: Path
    outer: str


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    name = f"casa-node-{os.getpid()}"
    outer, link = f"198.18.{os.getpid() % 251}.1", f"casan{os.getpid() % 0xFFFFF:x}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{outer}/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", name, "addr", "add", f"{outer[:-1]}2/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        yield Network(Path("/run/netns") / name, outer)
    finally:
        ip("netns", "del", name)


@pytest.fixture(scope="module")
def permitted(network: Network) -> Iterator[Echo]:
    with Echo([V4, V6, network.outer]).running() as echo:
        yield echo


@pytest.fixture(scope="module")
def elsewhere(network: Network) -> Iterator[Echo]:
    with Echo([V4, V6, network.outer]).running() as echo:
        yield echo


@pytest.fixture
def forbidden(elsewhere: Echo) -> Echo:
    """What arrived there, arrived by this test."""
    elsewhere.arrived.clear()
    return elsewhere


@dataclass(frozen=True)
class Inbound:
    """The port that a workload may listen on."""

    port: int


@pytest.fixture(scope="module")
def inbound() -> Inbound:
    return Inbound(free_port())


@pytest.fixture(scope="module")
def rules(permitted: Echo, network: Network, inbound: Inbound) -> Json:
    return {
        "outbound": [
            {"to": address, "ports": permitted.port, "protocol": protocol}
            for address in (V4, V6, network.outer)
            for protocol in ("tcp", "udp")
        ],
        "inbound": [{"from": V4, "ports": inbound.port}],
    }


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory, rules: Json) -> Iterator[Workloads]:
    node = Node(tmp_path_factory.mktemp("direct"), {})
    guarded = {"guarded": [f"/{node.name}/pods"]}
    named = {"name": "named-pod", "cgroup": node.path(NAMED_POD), **rules}
    with Workloads(node, rules, count=100, shared=guarded, others=[named]).running() as all_of_them:
        yield all_of_them


@pytest.fixture
def workload(workloads: Workloads) -> Workload:
    """One that no other test uses."""
    return workloads.fresh()


# Ways out


def answer(sent: socket.socket) -> str:
    sent.settimeout(5)
    return sent.recv(1024).decode()


def tcp(family: socket.AddressFamily, address: str) -> Callable[[int], str]:
    def act(port: int) -> str:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.connect((address, port))
            connection.sendall(WORD)
            return answer(connection)

    return act


def tcp_nonblocking(port: int) -> str:
    with socket.socket() as connection:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.connect((V4, port))
        select.select([], [connection], [], 5)
        connection.sendall(WORD)
        return answer(connection)


def tcp_in_the_syn(port: int) -> str:
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1)
        connection.sendto(WORD, socket.MSG_FASTOPEN, (V4, port))
        return answer(connection)


def tcp_at_the_first_write(port: int) -> str:
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        connection.connect((V4, port))
        connection.sendall(WORD)
        return answer(connection)


def tcp_from_a_bound_address(port: int) -> str:
    with socket.create_connection((V4, port), source_address=(STRANGER, 0)) as connection:
        connection.sendall(WORD)
        return answer(connection)


def udp_sendto(family: socket.AddressFamily, address: str) -> Callable[[int], str]:
    def act(port: int) -> str:
        with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(WORD, (address, port))
            return answer(datagrams)

    return act


def udp_connected(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect((V4, port))
        datagrams.send(WORD)
        return answer(datagrams)


def udp_sendmsg(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendmsg([WORD], [], 0, (V4, port))
        return answer(datagrams)


def udp_of_no_family(port: int) -> str:
    """Linux takes AF_UNSPEC for AF_INET when a datagram is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        send_to_no_family(datagrams, WORD, V4, port)
        return answer(datagrams)


def udp_segments(port: int) -> str:
    """One call that the kernel cuts into several datagrams (UDP_SEGMENT)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setsockopt(socket.IPPROTO_UDP, 103, len(WORD))
        datagrams.sendto(WORD * 3, (V4, port))
        return answer(datagrams)


def from_a_child(port: int) -> Any:
    return in_child(lambda: PLAIN(port))


def from_a_child_of_another_user(port: int) -> Any:
    return in_child(as_user(NOBODY, lambda: PLAIN(port)))


def from_a_daemon(port: int) -> Any:
    return in_child(lambda: PLAIN(port), detached=True)


def from_a_program(port: int) -> Any:
    """What was exec'ed keeps nothing of this process but its sockets, cgroup and id."""
    script = f'exec 3<>/dev/tcp/{V4}/{port} && printf %s "$0" >&3 && head -c {len(WORD)} <&3'
    ran = subprocess.run(["bash", "-c", script, WORD.decode()], capture_output=True, text=True, timeout=10)
    return ran.stdout or (REFUSED if "not permitted" in ran.stderr else ran.stderr)


PLAIN = tcp(socket.AF_INET, V4)
MAPPED = "::ffff:" + V4


@dataclass(frozen=True)
class Way:
    """A way out, by what a process does."""

    act: Callable[[int], Any]
    hook: str = "connect"
    protocol: str = "tcp"
    address: str = V4
    only_root: bool = False

    def remote(self, port: int) -> str:
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


WAYS = {
    "TCP over IPv4": Way(PLAIN),
    "TCP over IPv6": Way(tcp(socket.AF_INET6, V6), address=V6),
    "TCP to an IPv4-mapped IPv6 address": Way(tcp(socket.AF_INET6, MAPPED)),
    "TCP without waiting": Way(tcp_nonblocking),
    "TCP Fast Open, data in the SYN": Way(tcp_in_the_syn),
    "TCP Fast Open at the first write": Way(tcp_at_the_first_write),
    "TCP from a bound address": Way(tcp_from_a_bound_address),
    "UDP sendto": Way(udp_sendto(socket.AF_INET, V4), "send", "udp"),
    "UDP sendmsg": Way(udp_sendmsg, "send", "udp"),
    "UDP connected": Way(udp_connected, "connect", "udp"),
    "UDP in segments": Way(udp_segments, "send", "udp"),
    "UDP over IPv6": Way(udp_sendto(socket.AF_INET6, V6), "send", "udp", V6),
    "UDP to an IPv4-mapped IPv6 address": Way(udp_sendto(socket.AF_INET6, MAPPED), "send", "udp"),
    "UDP to an address of no family": Way(udp_of_no_family, "send", "udp"),
    "a child": Way(from_a_child),
    "a child of another user": Way(from_a_child_of_another_user, only_root=True),
    "a daemon": Way(from_a_daemon),
    "another program": Way(from_a_program),
}


def each_way(users: dict[str, int] = USERS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("way", "user"),
        [
            pytest.param(way, user, id=f"{name}, as {who}", marks=attack(f"{name}, as {who}"))
            for name, way in WAYS.items()
            for who, user in users.items()
            if user == ROOT_USER or not way.only_root
        ],
    )


@each_way()
def test_only_what_a_rule_permits_is_reached(
    workload: Workload, permitted: Echo, forbidden: Echo, way: Way, user: int
) -> None:
    assert workload.run(lambda: way.act(permitted.port), user).value == WORD.decode()
    assert not workload.refusals()
    assert workload.run(lambda: way.act(forbidden.port), user).value == REFUSED
    workload.refused("no_rule", way.hook, remote=way.remote(forbidden.port), protocol=way.protocol)
    assert not forbidden.arrived


@attack("connected to what a rule permits, then to nothing (AF_UNSPEC), then elsewhere")
def test_a_socket_that_was_connected_where_it_may_does_not_get_elsewhere(
    workload: Workload, permitted: Echo, forbidden: Echo
) -> None:
    def act() -> list[Any]:
        found = []
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as one:
                for port in (permitted.port, permitted.port, forbidden.port):
                    found.append(outcome(lambda: (one.connect((V4, port)), one.send(WORD), answer(one))[2]))
                    connect_to_nothing(one)
        return found

    assert workload.run(act).value == [WORD.decode(), WORD.decode(), REFUSED] * 2
    for protocol in ("tcp", "udp"):
        workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}", protocol=protocol)
    assert not forbidden.arrived


# Sockets that open connections by themselves, and system calls that carry sockets


@dataclass(frozen=True)
class Making:
    act: Callable[[], Any]
    reason: str
    hook: str
    killed: bool = False


def made(family: int, kind: int, protocol: int = 0) -> Callable[[], str]:
    def act() -> str:
        socket.socket(family, kind, protocol).close()
        return "made"

    return act


def ping() -> str:
    """A datagram socket for ICMP, where whoever administers the network lets everybody have one."""
    unshare(CLONE_NEWNET)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
    return made(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)()


def killing(act: Callable[[], Any], reason: str = "family") -> Making:
    return Making(act, reason, "syscall", killed=True)


SOCKETS = {
    "raw, ICMP": Making(made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), "type", "create"),
    "raw, TCP": Making(made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP), "type", "create"),
    "raw, with own headers": Making(made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW), "type", "create"),
    "raw, IPv6": Making(made(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP), "type", "create"),
    "ping's": Making(ping, "type", "create"),
    "MPTCP": Making(made(socket.AF_INET, socket.SOCK_STREAM, 262), "type", "create"),
    "MPTCP, IPv6": Making(made(socket.AF_INET6, socket.SOCK_STREAM, 262), "type", "create"),
    "packet": killing(made(socket.AF_PACKET, socket.SOCK_RAW, 0x300)),
    "packet, datagrams": killing(made(socket.AF_PACKET, socket.SOCK_DGRAM, 0x300)),
    "to the hypervisor (AF_VSOCK)": killing(made(40, socket.SOCK_STREAM)),
    "rings of packets (AF_XDP)": killing(made(44, socket.SOCK_RAW)),
    "SMC": killing(made(43, socket.SOCK_STREAM)),
    "a family that does not exist": killing(made(200, socket.SOCK_STREAM)),
    "a pair of packet sockets": killing(lambda: socket.socketpair(socket.AF_PACKET, socket.SOCK_RAW)),
    "io_uring": killing(lambda: system_call(425, 8, 0), "escape"),
    "a socket of another process (pidfd_getfd)": killing(lambda: system_call(438, 0, 0, 0), "escape"),
    "another process with the same open files (clone)": killing(lambda: clone(CLONE_FILES), "escape"),
    "a network device (TUN)": killing(lambda: system_call(NR_IOCTL, -1, TUNSETIFF, 0), "escape"),
}
X86_SOCKETS = {
    "int 0x80: socketcall": killing(lambda: compat_system_call(102, 1, 0), "escape"),
    "int 0x80: packet": killing(lambda: compat_system_call(359, socket.AF_PACKET, socket.SOCK_RAW, 0x300)),
    "int 0x80: a pair of packet sockets": killing(lambda: compat_system_call(360, socket.AF_PACKET, socket.SOCK_RAW)),
    "int 0x80: io_uring": killing(lambda: compat_system_call(425, 8), "escape"),
    "int 0x80: a network device": killing(lambda: compat_system_call(54, -1, TUNSETIFF), "escape"),
    "x32: a network device": killing(lambda: system_call(0x40000000 | 514, -1, TUNSETIFF, 0), "escape"),
    "x32: packet": killing(lambda: system_call(0x40000000 | 41, socket.AF_PACKET, socket.SOCK_RAW, 0x300)),
    "x32: io_uring": killing(lambda: system_call(0x40000000 | 425, 8, 0), "escape"),
}


@pytest.mark.parametrize(
    "making",
    [
        *(pytest.param(each, id=name, marks=attack(f"a socket: {name}")) for name, each in SOCKETS.items()),
        *(
            pytest.param(each, id=name, marks=[attack(f"a socket: {name}"), X86_64])
            for name, each in X86_SOCKETS.items()
        ),
    ],
)
def test_no_socket_is_made_that_could_go_past_the_hooks(workload: Workload, making: Making) -> None:
    ran = workload.run(making.act)
    if making.killed:
        assert ran.killed, ran
    else:
        assert ran.value == REFUSED
    workload.refused(making.reason, making.hook)


def test_the_sockets_that_programs_need_are_made(workload: Workload) -> None:
    def act() -> str:
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                socket.socket(family, kind).close()
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
        for end in socket.socketpair():
            end.close()
        return "made"

    for user in USERS.values():
        assert workload.run(act, user).value == "made"
    assert not workload.refusals()


# Sockets that are handed over


@attack("a socket from outside, received as a file descriptor")
def test_a_socket_that_was_handed_in_goes_where_its_user_may(
    workload: Workload, permitted: Echo, forbidden: Echo
) -> None:
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack:
        made_outside = [
            stack.enter_context(socket.socket(socket.AF_INET, kind))
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
        ]
        socket.send_fds(ours, [b"x"], [one.fileno() for one in made_outside])
    ours.close()

    def act() -> list[Any]:
        _, received, _, _ = socket.recv_fds(theirs, 1, 4)
        stream, datagrams, other_stream, other_datagrams = (socket.socket(fileno=one) for one in received)

        def through(one: socket.socket, port: int) -> str:
            if one.type == socket.SOCK_STREAM:
                one.connect((V4, port))
                one.sendall(WORD)
            else:
                one.sendto(WORD, (V4, port))
            return answer(one)

        return [
            outcome(lambda: through(stream, permitted.port)),
            outcome(lambda: through(datagrams, permitted.port)),
            outcome(lambda: through(other_stream, forbidden.port)),
            outcome(lambda: through(other_datagrams, forbidden.port)),
        ]

    with theirs:
        assert workload.run(act).value == [WORD.decode(), WORD.decode(), REFUSED, REFUSED]
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}", protocol="tcp")
    workload.refused("no_rule", "send", remote=f"{V4}:{forbidden.port}", protocol="udp")
    assert not forbidden.arrived


@attack("a socket of the workload, handed to a process outside")
def test_a_socket_that_was_handed_out_stays_its_makers(workload: Workload, permitted: Echo, forbidden: Echo) -> None:
    ours, theirs = socket.socketpair()

    def act() -> None:
        made_inside = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        made_inside.append(socket.socket())
        socket.send_fds(theirs, [b"x"], [one.fileno() for one in made_inside])

    with ours, theirs:
        workload.run(act)
        _, received, _, _ = socket.recv_fds(ours, 1, 3)
    stream, datagrams, other = (socket.socket(fileno=one) for one in received)
    with stream, datagrams, other:
        with pytest.raises(PermissionError):
            stream.connect((V4, forbidden.port))
        with pytest.raises(PermissionError):
            datagrams.sendto(WORD, (V4, forbidden.port))
        other.connect((V4, permitted.port))
        other.sendall(WORD)
        assert answer(other) == WORD.decode()
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}", protocol="tcp")
    workload.refused("no_rule", "send", remote=f"{V4}:{forbidden.port}", protocol="udp")
    assert not forbidden.arrived


# Other cgroups and namespaces


def both_ports(permitted: Echo, forbidden: Echo) -> Callable[[], list[Any]]:
    return lambda: [outcome(lambda: PLAIN(permitted.port)), outcome(lambda: PLAIN(forbidden.port))]


RULES_HELD = [WORD.decode(), REFUSED]


def assert_rules_held(workload: Workload, forbidden: Echo, found: Any) -> None:
    assert found == RULES_HELD
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}")
    assert not forbidden.arrived


@pytest.mark.parametrize(
    "sibling",
    [
        pytest.param(False, id="the root", marks=attack("moved to the root cgroup")),
        pytest.param(True, id="a sibling", marks=attack("moved to the cgroup of a workload that may reach more")),
    ],
)
def test_a_process_that_was_moved_out_of_its_cgroup_stays_its_workloads(
    workloads: Workloads, workload: Workload, permitted: Echo, forbidden: Echo, rules: Json, sibling: bool
) -> None:
    other = workloads.fresh()
    open_to_all = {"outbound": [{"to": "any", "ports": ["1-52", "54-65535"]}]}
    workloads.node.replace_policy(workloads.policy({other.name: open_to_all}))
    target = workloads.node.cgroups / other.name if sibling else workloads.node.cgroups.parent
    act = both_ports(permitted, forbidden)

    def talk(channel: socket.socket) -> None:
        channel.send(str(os.getpid()).encode())
        channel.recv(16)
        channel.send(repr([act(), in_child(act)]).encode())

    with workload.talking(talk) as channel:
        process = channel.recv(64).decode()
        (target / "cgroup.procs").write_text(process)
        channel.send(b"moved")
        found = channel.recv(1024).decode()
    assert found == repr([RULES_HELD, RULES_HELD])
    workloads.node.flow(kind="workload_left", workload=workload.name)
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}")
    assert not forbidden.arrived
    assert not other.refusals()


def by_another_thread(act: Callable[[], None]) -> None:
    """Ends the first thread; what follows does another."""
    threading.Thread(target=act).start()
    end_this_thread()


ESCAPE = """
import os, socket, sys
open(sys.argv[1], "w").write("0")
found = []
for port in sys.argv[3:]:
    try:
        with socket.create_connection((sys.argv[2], int(port)), 5) as connection:
            connection.sendall(b"escaped")
            found.append(connection.recv(64).decode())
    except PermissionError:
        found.append("EPERM")
with socket.socket(fileno=3) as channel:
    channel.send(repr(found).encode())
"""


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param(lambda leave: leave(), id="at once", marks=attack("moves itself to the root cgroup")),
        pytest.param(
            by_another_thread, id="when its first thread ended", marks=attack("moves itself, its first thread ended")
        ),
    ],
)
def test_a_process_that_leaves_its_cgroup_stays_its_workloads(
    workload: Workload, permitted: Echo, forbidden: Echo, leaves: Callable[[Callable[[], None]], None]
) -> None:
    """Whether this process goes on, or another program after it."""
    root = workload.node.cgroups.parent / "cgroup.procs"
    act = both_ports(permitted, forbidden)
    for becomes_another in (False, True):

        def talk(channel: socket.socket) -> None:
            def leave() -> None:
                if becomes_another:
                    os.dup2(channel.fileno(), 3)
                    ports = [str(permitted.port), str(forbidden.port)]
                    os.execv(sys.executable, [sys.executable, "-S", "-c", ESCAPE, str(root), V4, *ports])
                root.write_text("0")
                channel.send(repr(act()).encode())
                os._exit(0)

            leaves(leave)

        with workload.talking(talk) as channel:
            word = "escaped" if becomes_another else WORD.decode()
            assert channel.recv(1024).decode() == repr([word, REFUSED])
    workload.node.flow(kind="workload_left", workload=workload.name)
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}")
    assert not forbidden.arrived


@attack("born into the cgroup (CLONE_INTO_CGROUP), then moved to the root")
def test_a_process_that_was_born_into_a_cgroup_stays_its_workloads(
    workload: Workload, permitted: Echo, forbidden: Echo
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    act = both_ports(permitted, forbidden)
    cgroup, root = workload.node.cgroups / workload.name, workload.node.cgroups.parent

    def born() -> None:
        theirs.send(repr(act()).encode())
        theirs.recv(16)
        theirs.send(repr(act()).encode())

    # By a child of one thread, since what is born so has none but the one that called.
    parent = os.fork()
    if parent == 0:
        child = clone_into_cgroup(cgroup, born)
        theirs.send(str(child).encode())
        os.waitpid(child, 0)
        os._exit(0)
    with ours, theirs:
        ours.settimeout(20)
        messages = sorted((ours.recv(1024).decode() for _ in range(2)), key=len)
        assert messages[1] == repr(RULES_HELD)
        (root / "cgroup.procs").write_text(messages[0])
        ours.send(b"moved")
        assert ours.recv(1024).decode() == repr(RULES_HELD)
    os.waitpid(parent, 0)
    workload.node.flow(kind="workload_left", workload=workload.name)
    assert not forbidden.arrived


@attack("a cgroup of its own, below the workload's")
def test_a_cgroup_below_inherits(workload: Workload, permitted: Echo, forbidden: Echo) -> None:
    below = workload.node.cgroups / workload.name / "below" / "deeper"

    def act() -> list[Any]:
        below.mkdir(parents=True)
        (below / "cgroup.procs").write_text("0")
        return both_ports(permitted, forbidden)()

    assert_rules_held(workload, forbidden, workload.run(act).value)


@attack("a cgroup that no policy names, below a guarded one")
def test_what_no_policy_names_is_denied_all(workloads: Workloads, permitted: Echo, forbidden: Echo) -> None:
    named, unnamed = Workload(workloads.node, NAMED_POD), Workload(workloads.node, "pods/stranger")
    (workloads.node.cgroups / unnamed.name).mkdir()
    act = both_ports(permitted, forbidden)
    assert named.run(act).value == RULES_HELD
    assert unnamed.run(act).value == [REFUSED, REFUSED]
    for port in (permitted.port, forbidden.port):
        workloads.node.flow(
            kind="flow_refused", workload="(unnamed)", reason="no_policy", hook="connect", remote=f"{V4}:{port}"
        )
    assert not forbidden.arrived


@attack("another network namespace, by a wire to the machine")
def test_another_network_changes_nothing(
    workload: Workload, network: Network, permitted: Echo, forbidden: Echo
) -> None:
    def act() -> list[Any]:
        enter_network(network.path)
        through = tcp(socket.AF_INET, network.outer)
        datagrams = udp_sendto(socket.AF_INET, network.outer)
        return [outcome(lambda: way(port)) for port in (permitted.port, forbidden.port) for way in (through, datagrams)]

    assert workload.run(act).value == [WORD.decode(), WORD.decode(), REFUSED, REFUSED]
    workload.refused("no_rule", "connect", remote=f"{network.outer}:{forbidden.port}", protocol="tcp")
    workload.refused("no_rule", "send", remote=f"{network.outer}:{forbidden.port}", protocol="udp")
    assert not forbidden.arrived


@attack("another network namespace, made by the workload itself")
def test_a_network_of_its_own_changes_nothing(workload: Workload, permitted: Echo, forbidden: Echo) -> None:
    def act() -> list[Any]:
        unshare(CLONE_NEWNET)
        raise_loopback()
        # There is no server here: what may go gets as far as the network.
        return [outcome(lambda: PLAIN(permitted.port)), outcome(lambda: PLAIN(forbidden.port))]

    assert workload.run(act).value == ["ECONNREFUSED", REFUSED]
    workload.refused("no_rule", "connect", remote=f"{V4}:{forbidden.port}")


# What comes in


def listens(bind_to: tuple[str, int] | None) -> Callable[[socket.socket], None]:
    """Listens, and answers one connection."""

    def talk(channel: socket.socket) -> None:
        with socket.socket() as listener:
            if bind_to:
                listener.bind(bind_to)
            listener.listen()
            channel.send(str(listener.getsockname()[1]).encode())
            while select.select([listener, channel], [], [], 20)[0] == [listener]:
                connection, _ = listener.accept()
                connection.sendall(connection.recv(1024))

    return talk


def asks(port: int, source: str, wait: float = PATIENCE) -> str:
    def act() -> str:
        with socket.socket() as connection:
            connection.settimeout(wait)
            connection.bind((source, 0))
            connection.connect((V4, port))
            connection.sendall(WORD)
            return connection.recv(1024).decode()

    return str(outcome(act))


@attack("a connection from outside the inbound rule's prefix")
def test_only_whom_an_inbound_rule_names_gets_in(workload: Workload, inbound: Inbound) -> None:
    with workload.talking(listens((V4, inbound.port))) as channel:
        assert channel.recv(64).decode() == str(inbound.port)
        assert asks(inbound.port, STRANGER, HELD_BACK) == "timed out"
        assert asks(inbound.port, V4) == WORD.decode()
    workload.refused("no_rule", "ingress", direction="inbound", protocol="tcp")
    assert all(each["remote"].startswith(STRANGER + ":") for each in workload.refusals())


@attack("a listener on a port that the kernel chose")
def test_a_listener_without_a_rule_gets_no_connection(workload: Workload) -> None:
    with workload.talking(listens(None)) as channel:
        port = int(channel.recv(64))
        assert asks(port, V4, HELD_BACK) == "timed out"
    workload.refused("no_rule", "ingress", direction="inbound", local=f"{V4}:{port}")


@pytest.mark.parametrize("user", [pytest.param(user, id=who) for who, user in USERS.items()])
@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(family, kind, id=name, marks=attack(f"a port that no rule names: {name}"))
        for name, family, kind in (
            ("TCP", socket.AF_INET, socket.SOCK_STREAM),
            ("UDP", socket.AF_INET, socket.SOCK_DGRAM),
            ("TCP over IPv6", socket.AF_INET6, socket.SOCK_STREAM),
            ("UDP over IPv6", socket.AF_INET6, socket.SOCK_DGRAM),
        )
    ],
)
def test_only_ports_of_inbound_rules_are_bound(
    workload: Workload, inbound: Inbound, family: socket.AddressFamily, kind: socket.SocketKind, user: int
) -> None:
    address = V4 if family == socket.AF_INET else V6

    def bound(port: int) -> str:
        with socket.socket(family, kind) as server:
            server.bind((address, port))
        return "bound"

    other = free_port()
    rule_names_it = kind == socket.SOCK_STREAM
    assert workload.run(lambda: bound(inbound.port), user).value == ("bound" if rule_names_it else REFUSED)
    assert workload.run(lambda: bound(0), user).value == "bound"
    assert workload.run(lambda: bound(other), user).value == REFUSED
    shown = f"{V4}:{other}" if family == socket.AF_INET else f"[{V6}]:{other}"
    workload.refused("bind", "bind", protocol="tcp" if kind == socket.SOCK_STREAM else "udp", local=shown)


# Connections that exist already


@attack("a connection that exists when its rule is withdrawn")
def test_a_connection_ends_with_its_rule(
    workloads: Workloads, workload: Workload, permitted: Echo, rules: Json
) -> None:
    with Echo([V4]).running() as withdrawn:
        both = rules["outbound"] + [{"to": V4, "ports": withdrawn.port, "protocol": each} for each in ("tcp", "udp")]
        workloads.node.replace_policy(workloads.policy({workload.name: {**rules, "outbound": both}}))

        def talk(channel: socket.socket) -> None:
            connected = [
                (socket.create_connection((V4, port)), datagrams_to(port)) for port in (permitted.port, withdrawn.port)
            ]

            def over(one: socket.socket, wait: float) -> str:
                one.settimeout(wait)
                one.sendall(WORD)
                return one.recv(1024).decode()

            for waits in ((PATIENCE, PATIENCE), (PATIENCE, HELD_BACK)):
                found = [outcome(lambda: over(one, wait)) for pair, wait in zip(connected, waits) for one in pair]
                channel.send(repr(found).encode())
                channel.recv(16)
            kept, cut = connected[0][0], connected[1][0]
            pushed = [outcome(lambda: one.recv(1024).decode()) for one in (kept, cut)]
            channel.send(repr(pushed).encode())

        with workload.talking(talk) as channel:
            assert channel.recv(1024).decode() == repr([WORD.decode()] * 4)
            arrived = list(withdrawn.arrived)
            workloads.node.replace_policy(workloads.policy())
            channel.send(b"again")
            assert channel.recv(1024).decode() == repr([WORD.decode()] * 2 + ["timed out", REFUSED])
            # Nor does what the other side sends come in any more.
            withdrawn.connections[0].sendall(b"pushed")
            permitted.connections[-1].sendall(b"pushed")
            channel.send(b"pushed")
            assert channel.recv(1024).decode() == repr(["pushed", "timed out"])
        assert withdrawn.arrived == arrived
        workload.refused("no_rule", "egress", remote=f"{V4}:{withdrawn.port}", protocol="tcp")


def datagrams_to(port: int) -> socket.socket:
    made_here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made_here.connect((V4, port))
    return made_here


# With the guard killed


@attack("all of it again, with the guard killed")
def test_a_killed_guard_changes_nothing(
    tmp_path: Path, rules: Json, permitted: Echo, forbidden: Echo, inbound: Inbound
) -> None:
    node = Node(tmp_path, {})
    ways = ["TCP over IPv4", "TCP over IPv6", "UDP sendto", "UDP over IPv6", "a daemon"]
    ways.append("TCP Fast Open, data in the SYN")
    with Workloads(node, rules, count=len(ways) + 4).running() as workloads:
        node.kill()
        attacked = []
        for way in (WAYS[name] for name in ways):
            workload = workloads.fresh()
            assert workload.run(lambda: way.act(permitted.port)).value == WORD.decode()
            assert workload.run(lambda: way.act(forbidden.port)).value == REFUSED
            attacked.append((workload, "no_rule", way.hook))
        for name in ("raw, ICMP", "packet", "io_uring"):
            workload, making = workloads.fresh(), SOCKETS[name]
            ran = workload.run(making.act)
            assert ran.killed if making.killed else ran.value == REFUSED
            attacked.append((workload, making.reason, making.hook))
        workload = workloads.fresh()
        with workload.talking(listens((V4, inbound.port))) as channel:
            channel.recv(64)
            assert asks(inbound.port, STRANGER, HELD_BACK) == "timed out"
            assert asks(inbound.port, V4) == WORD.decode()
        attacked.append((workload, "no_rule", "ingress"))
        assert not forbidden.arrived
        # What nobody was there to read is told by the next one.
        node.start()
        for workload, reason, hook in attacked:
            workload.refused(reason, hook)
