"""Network namespaces that stand in for pods, and the banking example in them, with nothing pointed at a proxy.

A bridge of this machine joins them. The client, the agent and the bank are pods: `casa sidecar intercept`, then
`casa sidecar` as the proxy's user, then the app as an unprivileged user. The LLM and an elsewhere that nobody may
reach are namespaces without a sidecar. The runtime, the authorization service and a name server are outside.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import App, Json, Runtime, binary, free_port, wait_until
from casa_stack import EXAMPLE, Process

PROXY_USER = 1337
APP_USER = 1000
APP_PORT = 8000
PROBE_PORT = 15_021
HERE = Path(__file__).parent
CONFIGURATION = Path("/etc/netns")
LLM_KEY = "sk-kept-by-the-sidecars"


def missing_tools() -> str | None:
    """Why namespaces can't be made here; None when they can."""
    if os.geteuid() != 0:
        return "network namespaces and packet rules need root"
    needed = ["ip", "iptables-nft", "iptables-legacy", "setpriv", "curl"]
    if absent := [tool for tool in needed if shutil.which(tool) is None]:
        return f"not installed: {', '.join(absent)}"
    probe = f"casa-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return None if made.returncode == 0 else f"no network namespace can be made: {made.stderr.strip()}"


def run(*command: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert not check or done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
    return done


@cache
def everybody_reaches(path: str) -> bool:
    """Whether any user may run a program: a Python of root's home directory is root's only."""
    resolved = Path(path).resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [resolved, *resolved.parents])


def as_user(user: int) -> list[str]:
    """How a program runs without any privilege that concerns the network."""
    command = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "--no-new-privs"]
    if everybody_reaches(sys.executable):
        return [*command, "--bounding-set=-all"]
    kept = "-all,+dac_read_search"
    return [*command, f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"]


_claims: list[socket.socket] = []


@cache
def own_number() -> int:
    """Tells this run's addresses from those of others on this machine; nobody else has it until this process ends."""
    first = os.getpid() % 250
    for number in [*range(first, 250), *range(first)]:
        claim = socket.socket(socket.AF_UNIX)
        try:
            # A name of the kernel's own, which is gone with the process and leaves no file.
            claim.bind(f"\0casa-pods-{number}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return number
    raise AssertionError("250 runs at once have every network there is")


@dataclass
class Node:
    """A network namespace on the bridge."""

    name: str
    number: int
    network: Network
    processes: list[Process] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return f"{self.network.prefix}-{self.name}"

    @property
    def host(self) -> str:
        return f"{self.name}.test"

    @property
    def ipv4(self) -> str:
        return self.network.ipv4(self.number)

    @property
    def ipv6(self) -> str:
        return self.network.ipv6(self.number)

    def make(self) -> None:
        configuration = CONFIGURATION / self.namespace
        configuration.mkdir(parents=True, exist_ok=True)
        (configuration / "resolv.conf").write_text(f"nameserver {self.network.ipv4(1)}\noptions timeout:2\n")
        (configuration / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        run("ip", "netns", "add", self.namespace)
        outer = f"{self.network.prefix}v{self.number}"
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "set", outer, "master", self.network.bridge, "up")
        inside = ["ip", "-n", self.namespace]
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "addr", "add", f"{self.ipv4}/24", "dev", "eth0")
        run(*inside, "addr", "add", f"{self.ipv6}/64", "dev", "eth0", "nodad")
        run(*inside, "link", "set", "eth0", "up")
        run(*inside, "route", "add", "default", "via", self.network.ipv4(1))
        run(*inside, "-6", "route", "add", "default", "via", self.network.ipv6(1))

    def command(self, *command: str, user: int | None = None) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *(as_user(user) if user else []), *command]

    def run(self, *command: str, user: int | None = APP_USER, **more: Any) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end, as the app's user."""
        return run(*self.command(*command, user=user), check=False, timeout=60, **more)

    def start(self, what: str, *command: str, user: int | None = APP_USER) -> Process:
        log = self.network.directory / f"{self.name}-{what}.log"
        process = Process(self.command(*command, user=user), log)
        self.processes.append(process)
        return process

    def log(self, what: str) -> str:
        return (self.network.directory / f"{self.name}-{what}.log").read_text(errors="replace")

    def python(self, code: str, *arguments: str, user: int = APP_USER) -> Json:
        """Runs Python as the app's user; what it printed, as JSON."""
        done = self.run(sys.executable, "-c", code, *arguments, user=user)
        assert done.returncode == 0, done.stderr
        printed: Json = json.loads(done.stdout)
        return printed

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An unmodified curl that knows nothing of any proxy; prints the status after the body."""
        return self.run("curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments)

    def intercept(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["--proxy-uid", str(PROXY_USER), *arguments]
        return self.run(str(binary()), "sidecar", "intercept", *options, user=None)

    def listens(self, port: int) -> bool:
        found = self.run("ss", "-Hltn", f"sport = :{port}", user=None)
        return bool(found.stdout.strip())

    def remove(self) -> None:
        for process in reversed(self.processes):
            process.end(2)
        for left in run("ip", "netns", "pids", self.namespace, check=False).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(left), signal.SIGKILL)
        run("ip", "netns", "del", self.namespace, check=False)
        shutil.rmtree(CONFIGURATION / self.namespace, ignore_errors=True)


@dataclass
class Network:
    """The bridge and what is on it."""

    directory: Path
    prefix: str = field(default_factory=lambda: f"c{os.getpid() % 100_000}")
    nodes: dict[str, Node] = field(default_factory=dict)

    @property
    def bridge(self) -> str:
        return f"{self.prefix}br"

    def ipv4(self, number: int) -> str:
        # The range for measurements between networks (RFC 2544), which nobody's real hosts have.
        return f"198.18.{own_number()}.{number}"

    def ipv6(self, number: int) -> str:
        return str(ipaddress.ip_address(f"fd00:ca5a:{own_number():x}::{number:x}"))

    def make(self, *names: str) -> None:
        run("ip", "link", "add", self.bridge, "type", "bridge", "mcast_snooping", "0")
        run("ip", "addr", "add", f"{self.ipv4(1)}/24", "dev", self.bridge)
        run("ip", "addr", "add", f"{self.ipv6(1)}/64", "dev", self.bridge, "nodad")
        run("ip", "link", "set", self.bridge, "up")
        for name in names:
            self.nodes[name] = Node(name, 11 + len(self.nodes), self)
            self.nodes[name].make()

    def remove(self) -> None:
        for node in self.nodes.values():
            node.remove()
        run("ip", "link", "del", self.bridge, check=False)


class NameServer(threading.Thread):
    """Answers A and AAAA questions for the nodes by UDP (RFC 1035), and nothing else."""

    def __init__(self, network: Network) -> None:
        super().__init__(daemon=True)
        self.network = network
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((network.ipv4(1), 53))

    def run(self) -> None:
        while True:
            try:
                question, sender = self.socket.recvfrom(512)
            except OSError:
                return
            if not question:
                return
            self.socket.sendto(self.answer(question), sender)

    def answer(self, message: bytes) -> bytes:
        labels, at = [], 12
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
            at += 1 + length
        question = message[12 : at + 5]
        kind = int.from_bytes(message[at + 1 : at + 3], "big")
        node = self.network.nodes.get(labels[0]) if labels[1:] == ["test"] else None
        data = b""
        if node and kind == 1:
            data = ipaddress.ip_address(node.ipv4).packed
        elif node and kind == 28:
            data = ipaddress.ip_address(node.ipv6).packed
        record = b"\xc0\x0c" + question[-4:] + (5).to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
        flags = b"\x81\x80" if node else b"\x81\x83"
        count = (1 if data else 0).to_bytes(2, "big")
        return message[:2] + flags + b"\x00\x01" + count + b"\x00\x00\x00\x00" + question + (record if data else b"")

    def end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())
        self.join(5)
        self.socket.close()


class Elsewhere:
    """A host that no pod may reach, and every packet that reached it all the same."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def start(self) -> None:
        self.node.start("packets", sys.executable, str(HERE / "packets.py"), user=None)
        wait_until(lambda: self.node.log("packets").startswith("ready"), "packets are watched")

    def arrived(self, source: Node) -> list[Json]:
        """What came from a pod until now, address resolution left out."""
        # Our own packet is the last to arrive: the bridge keeps the order.
        last = secrets.token_hex(8)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marker:
            marker.sendto(last.encode(), (self.node.ipv4, 9))
        wait_until(lambda: last in self.node.log("packets"), "the last packet arrived")
        packets = [json.loads(line) for line in self.node.log("packets").splitlines()[1:]]
        return [packet for packet in packets if packet["from"] in (source.ipv4, source.ipv6)]


@dataclass
class Bank:
    """The banking example in pods."""

    directory: Path
    runtime: Runtime
    network: Network = field(init=False)
    names: NameServer | None = None
    processes: list[Process] = field(default_factory=list)
    apps: dict[str, App] = field(default_factory=dict)
    authorization_port: int = field(default_factory=free_port)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))

    def __post_init__(self) -> None:
        self.network = Network(self.directory)

    def __getitem__(self, name: str) -> Node:
        return self.network.nodes[name]

    # Its life

    def start(self) -> Bank:
        self.directory.chmod(0o755)
        self.network.make("client", "agent", "planner", "bank", "llm", "elsewhere")
        self.names = NameServer(self.network)
        self.names.start()
        self.elsewhere.start()
        standin = [str(EXAMPLE / "llm_standin.py"), "--host", "0.0.0.0", "--port", "80"]
        self["llm"].start("app", sys.executable, *standin, user=None)
        files = self.register()
        authorize = [str(binary()), "authorize", *(str(file) for file in files)]
        self.processes.append(Process(authorize, self.directory / "authorize.log"))
        self.start_pod("client")
        self.start_pod("planner", str(HERE / "a2a_server.py"))
        self.start_pod("bank", str(EXAMPLE / "bank_server.py"))
        ways = ["--mcp-url", "http://bank.test:8000/mcp", "--llm-base-url", "http://llm.test/v1", "--allow-misbehave"]
        self.start_pod("agent", str(EXAMPLE / "agent.py"), *ways)
        wait_until(lambda: self.answers(self["llm"], 80), "the LLM's stand-in answers", 30)
        wait_until(self.tools_are_pinned, "the bank's tools are approved", 30)
        return self

    def stop(self) -> None:
        self.network.remove()
        for process in self.processes:
            # Its callers vanished with their namespaces and said no goodbye; it would wait for them.
            process.end(1)
        if self.names:
            self.names.end()
        self.http.close()

    def start_pod(self, name: str, *program: str) -> None:
        """As a pod starts: the init container, the sidecar, the app."""
        node = self[name]
        done = node.intercept("--probe-port", str(PROBE_PORT))
        assert done.returncode == 0, done.stderr
        directory = self.directory / name
        files = [str(directory / "workload.yaml"), "--directory", str(directory / "run")]
        files += ["--probes-listen", f"0.0.0.0:{PROBE_PORT}"]
        asked = {"httpGet": {"port": APP_PORT, "path": "/healthz"}}
        probes = {"app/liveness": asked, "app/startup": {"tcpSocket": {"port": APP_PORT + 1}}}
        command = ["env", f"CASA_PROBES={json.dumps(probes)}", str(binary()), "sidecar", *files]
        sidecar = node.start("sidecar", *command, user=PROXY_USER)
        if program:
            node.start("app", sys.executable, *program, "--port", str(APP_PORT))
            wait_until(lambda: node.listens(APP_PORT), f"{name} listens", 30)

        def redirects() -> bool:
            assert sidecar.running.poll() is None, node.log("sidecar")
            return node.listens(15_001) and node.listens(15_006)

        wait_until(redirects, f"the sidecar of {name} listens", 30)

    def register(self) -> list[Path]:
        """Makes the runtime know the apps, and writes what their sidecars need."""
        # With the proxy alone, the runtime judges no call.
        alone = {"enabled_tool_checks": [], "allow_undecided": True} if os.environ.get("CASA_LAYER") == "proxy" else {}
        mas = self.runtime.create_mas("pods", **alone)
        made = self.runtime.create_app
        self.apps["client"] = made(mas, "client", "client")
        self.apps["agent"] = made(mas, "agent", "agent", base_url=f"http://{self['agent'].ipv4}:{APP_PORT}/")
        self.apps["planner"] = made(mas, "planner", "agent", base_url=f"http://{self['planner'].ipv4}:{APP_PORT}/")
        self.apps["bank"] = made(mas, "bank", "mcp_server", base_url=f"http://{self['bank'].ipv4}:{APP_PORT}/mcp")
        key = self.directory / "llm-key"
        key.write_text(LLM_KEY + "\n")
        return [
            self.write(
                "client",
                None,
                [
                    {"destination": "agent", "url": "http://agent.test:8000/"},
                    {"destination": "planner", "url": "http://planner.test:8000/"},
                ],
            ),
            self.write("planner", "/", []),
            self.write(
                "agent",
                "/",
                [
                    {"destination": "bank", "url": "http://bank.test:8000/mcp"},
                    {"llm": True, "url": "http://llm.test/v1", "api_key_file": str(key)},
                ],
            ),
            self.write("bank", "/mcp", []),
        ]

    def write(self, name: str, path: str | None, egress: list[Json]) -> Path:
        directory = self.directory / name
        directory.mkdir(mode=0o700)
        (directory / "secret").write_text(f"{self.apps[name].secret}\n")
        (directory / "key").write_text(secrets.token_urlsafe(32) + "\n")
        workload = {
            "runtime": self.runtime.url,
            "client_id": self.apps[name].id,
            "client_secret_file": str(directory / "secret"),
            "sidecar_key_file": str(directory / "key"),
            "authorization": f"{self.network.ipv4(1)}:{self.authorization_port}",
            "intercept": {},
            "adapter": os.environ.get("CASA_ADAPTER", "module"),
            "egress": egress,
            **({"ingress": {"app": f"http://127.0.0.1:{APP_PORT}{path}"}} if path else {}),
        }
        file = directory / "workload.yaml"
        file.write_text(json.dumps(workload))
        for owned in [directory, *directory.iterdir()]:
            os.chown(owned, PROXY_USER, PROXY_USER)
        return file

    def answers(self, node: Node, port: int) -> bool:
        try:
            return self.http.get(f"http://{node.ipv4}:{port}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def tools_are_pinned(self) -> bool:
        self.runtime.http.post(f"/apps/{self.apps['bank'].id}/tools/discover", headers=self.runtime.admin_headers)
        tools = self.runtime.admin("GET", f"/apps/{self.apps['bank'].id}/tools")["tools"]
        return bool(tools) and all(tool["status"] == "pinned" for tool in tools)

    # Its parts

    @property
    def elsewhere(self) -> Elsewhere:
        return Elsewhere(self["elsewhere"])

    def ledger(self) -> Json:
        """What the bank itself says that reached it."""
        code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/ledger').read().decode())"
        return self["bank"].python(code)

    def llm_requests(self) -> list[Json]:
        found: list[Json] = self.http.get(f"http://{self['llm'].ipv4}/requests").json()["requests"]
        return found

