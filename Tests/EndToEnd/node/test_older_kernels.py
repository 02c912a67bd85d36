"""The programs for kernels before 5.17, as far as a newer kernel can show what they need.

That they decide and tell the same, test_tokens.py and attacks/ show: they run under both.
"""

from __future__ import annotations

import errno
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from casa_node import Node, Sink, agent_policy
from casa_runtime import free_port

WITHOUT_LOOP = ["--without-kernel-feature", "bpf_loop"]
OBJECT = Path(__file__).resolve().parents[3] / "Sources/CNodeGuard/guard-bounded.bpf.o"

EVERYWHERE = {
    "bpf_get_current_cgroup_id", "bpf_get_current_pid_tgid", "bpf_ktime_get_boot_ns", "bpf_map_lookup_elem",
    "bpf_map_update_elem", "bpf_map_delete_elem", "bpf_ringbuf_reserve", "bpf_ringbuf_submit",
}  # fmt: skip
SOCKETS = EVERYWHERE | {"bpf_get_current_ancestor_cgroup_id", "bpf_get_socket_cookie_sock", "bpf_sk_storage_get"}
PACKETS = EVERYWHERE | {
    "bpf_get_smp_processor_id", "bpf_get_socket_cookie", "bpf_sk_fullsock", "bpf_sk_storage_delete",
    "bpf_sk_storage_get", "bpf_skb_ancestor_cgroup_id", "bpf_skb_load_bytes", "bpf_spin_lock", "bpf_spin_unlock",
}  # fmt: skip
TRACING = EVERYWHERE | {"bpf_get_current_task", "bpf_probe_read_kernel", "bpf_send_signal"}
"""What programs of each kind may call in Linux 5.9, of what these call."""


@pytest.fixture
def node(tmp_path: Path, sink: Sink) -> Iterator[Node]:
    node = Node(tmp_path / "node", {}, arguments=WITHOUT_LOOP)
    node.policy = agent_policy(node, {"to": "127.0.0.1", "ports": sink.port})
    with node.running():
        yield node


def allowed_helpers(program: str) -> set[str]:
    if program in ("casa_egress", "casa_ingress"):
        return PACKETS
    is_socket = program.startswith(("casa_bind", "casa_connect", "casa_sendmsg", "casa_sock"))
    return SOCKETS if is_socket else TRACING


def helpers_of(link: Path) -> set[str]:
    shown = subprocess.run(["bpftool", "-j", "link", "show", "pinned", str(link)], capture_output=True, check=True)
    dump = ["bpftool", "prog", "dump", "xlated", "id", str(json.loads(shown.stdout)["prog_id"])]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    fetching = re.findall(r"\((?:c3|db)\) r\d+ = .*", text)
    assert not fetching, f"{link.name}: additions whose result is used came with 5.12"
    # The kernel calls what looks up in one kind of map by the name of that kind.
    return {
        re.sub("^__?htab_map_lookup_elem$|^array_map_lookup_elem$|^percpu_array_map_lookup_elem$|^trie_lookup_elem$",
               "bpf_map_lookup_elem", name)
        for name in re.findall(r" call (\w+)#", text)
    }  # fmt: skip


def test_no_program_calls_what_came_after_5_9(node: Node) -> None:
    links = sorted((node.pins / "links").iterdir())
    assert len(links) == 16
    for link in links:
        newer = {name for name in helpers_of(link) if name.startswith("bpf_")} - allowed_helpers(link.name)
        assert not {name for name in newer if "htab" not in name}, link.name


def test_no_function_is_verified_by_itself_that_is_given_a_pointer() -> None:
    """Before 5.12 such functions take numbers, and the program's own context."""
    shown = subprocess.run(["bpftool", "-j", "btf", "dump", "file", str(OBJECT)], capture_output=True, check=True)
    types = {each["id"]: each for each in json.loads(shown.stdout)["types"]}
    checked = 0
    for function in (each for each in types.values() if each["kind"] == "FUNC" and each.get("linkage") == "global"):
        if function["name"].startswith("casa_"):
            continue  # a program
        checked += 1
        for parameter in types[function["type_id"]]["params"]:
            kind = types[parameter["type_id"]]
            if kind["kind"] == "PTR":
                assert types[kind["type_id"]].get("name") == "__sk_buff", function["name"]
    assert checked > 10


def test_the_guard_says_which_programs_are_in_force(node: Node) -> None:
    assert node.status()["loops"] == "bounded"
    assert node.status()["enforced"]
    assert "loops       bounded" in node.casa("status").stdout
    assert "the programs for kernels without bpf_loop are in force" in node.log()
    node.stop()
    port = free_port()
    for arguments, bounded in ((WITHOUT_LOOP, 1), ([], 0)):
        node.arguments = ["--metrics", f"127.0.0.1:{port}", *arguments]
        node.start()
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
            assert f"casa_node_bounded_loops {bounded}\n" in client.get(f"http://127.0.0.1:{port}/metrics").text
        assert node.stop() == 0
    assert node.status()["loops"] == "bpf_loop"


@pytest.mark.parametrize(
    ("feature", "since"),
    [
        ("cgroup/sock_release", "5.9"),
        ("bpf_sk_storage_get in cgroup/sock_create", "5.9"),
        ("bpf_ringbuf_reserve", "5.8"),
        ("bpf_ktime_get_boot_ns", "5.8"),
    ],
)
def test_what_can_not_be_done_without_is_named(node: Node, feature: str, since: str) -> None:
    policy = str(node.directory / "node.yaml")
    ended = node.casa("run", "--policy", policy, "--without-kernel-feature", feature)
    assert ended.returncode == 1
    assert f"this kernel has no {feature}; expected Linux {since} or later" in ended.stderr
    assert node.status()["enforced"]


def test_a_process_that_is_deeper_in_its_workloads_cgroup_stays_the_workloads(node: Node, other_sink: Sink) -> None:
    """Programs on tracepoints look for the cgroups above in another way than those for newer kernels."""
    (node.cgroups / "elsewhere").mkdir()
    (node.cgroups / "agent/deeper/still").mkdir(parents=True)
    code = """
import socket, sys
with open(sys.argv[1], "w") as file: file.write("0")
print(socket.socket().connect_ex(("127.0.0.1", int(sys.argv[2]))))
"""
    elsewhere = str(node.cgroups / "elsewhere/cgroup.procs")
    ended = node.python("agent/deeper/still", code, elsewhere, str(other_sink.port))
    assert ended.stdout.strip() == str(errno.EPERM), ended
    assert node.flow(kind="workload_left")["workload"] == "agent"
