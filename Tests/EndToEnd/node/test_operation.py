"""The guard's life: what it needs, what outlives it, what it tells (attack 37)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from casa_node import NewNode, Node, Ran, Sink, agent_policy, cgroup_root
from casa_runtime import Json, Runtime, binary, free_port, wait_until


MAXIMUM_RESIDENT = 256 << 20


def reach(port: int, address: str = "127.0.0.1") -> str:
    with socket.create_connection((address, port), timeout=3) as connection:
        connection.sendall(b"x")
        return "answered" if connection.recv(1) else "closed"


def try_both(node: Node, allowed: Sink, denied: Sink) -> tuple[Ran, Ran]:
    return node.run("agent", lambda: reach(allowed.port)), node.run("agent", lambda: reach(denied.port))


def is_enforced(node: Node, allowed: Sink, denied: Sink) -> bool:
    good, bad = try_both(node, allowed, denied)
    return (good.value, bad.value) == ("answered", "EPERM")


@pytest.fixture
def node(new_node: NewNode, sink: Sink) -> Node:
    return new_node(lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}))


@pytest.mark.attack(37, "the guard is killed", layer="kernel")
def test_enforcement_outlives_the_guard(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        assert is_enforced(node, sink, other_sink)
        node.kill()
        assert is_enforced(node, sink, other_sink)
        assert node.status()["enforced"]


@pytest.mark.attack(37, "the guard is asked to end", layer="kernel")
def test_enforcement_outlives_a_guard_that_ends(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        assert node.stop() == 0
        assert is_enforced(node, sink, other_sink)


@pytest.mark.attack(37, "the guard is started again and again while connections are tried", layer="kernel")
def test_a_restart_is_never_open(node: Node, sink: Sink, other_sink: Sink) -> None:
    code = """
import os, socket, sys, time
passed = denied = 0
while not os.path.exists(sys.argv[2]):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3).close()
        passed += 1
    except PermissionError:
        denied += 1
    # The guard that starts needs the processor, too.
    time.sleep(0.0005)
print(passed, denied)
"""
    with node.running():
        end = node.directory / "end"
        process = node.popen(
            "agent", ["python3", "-c", code, str(other_sink.port), str(end)], stdout=subprocess.PIPE
        )
        for way in (node.kill, node.stop, node.kill):
            way()
            node.start()
        end.touch()
        passed, denied = map(int, process.communicate(timeout=60)[0].split())
        assert passed == 0
        assert denied > 100


def test_events_of_the_time_without_a_guard_are_told_once_when_it_is_back(node: Node, sink: Sink) -> None:
    with node.running():
        node.run("agent", lambda: reach(sink.port))
        node.flow(kind="flow_closed")
        node.kill()
        for _ in range(50):
            node.run("agent", lambda: reach(sink.port))
        assert len(node.flows(kind="flow_closed")) == 1
        node.start()
        wait_until(lambda: len(node.flows(kind="flow_closed")) >= 51, "the flows of the time without a guard")
        ids = [event["id"] for event in node.flows()]
        assert len(ids) == len(set(ids))
        assert len(node.flows(kind="flow_closed")) == 51
        assert node.status()["lost_events"] == 0


def test_a_policy_is_replaced_without_a_moment_that_is_open_or_empty(
    node: Node, sink: Sink, other_sink: Sink
) -> None:
    code = """
import socket, sys, os
good, bad, end = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def reach(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=3).close()
        return True
    except PermissionError:
        return False
lost = leaked = tried = 0
while not os.path.exists(end):
    tried += 1
    lost += not reach(good)
    leaked += reach(bad)
print(tried, lost, leaked)
"""
    with node.running():
        end = node.directory / "end"
        arguments = ["python3", "-c", code, str(sink.port), str(other_sink.port), str(end)]
        process = node.popen("agent", arguments, stdout=subprocess.PIPE)
        for turn in range(10):
            more = [{"to": f"10.{turn}.{i}.0/24", "ports": 80} for i in range(turn)]
            node.replace_policy(agent_policy(node, *more, {"to": "127.0.0.1", "ports": sink.port}))
        end.touch()
        tried, lost, leaked = map(int, process.communicate(timeout=20)[0].split())
        assert tried > 100
        assert (lost, leaked) == (0, 0)


def test_a_policy_that_can_not_be_read_leaves_the_one_before_in_force(
    node: Node, sink: Sink, other_sink: Sink
) -> None:
    with node.running():
        (node.directory / "node.yaml").write_text("workloads: [{name: agent, everything: allowed}]")
        wait_until(lambda: "stays in force" in node.log(), "the guard says so")
        assert "everything" in node.log()
        assert is_enforced(node, sink, other_sink)
        assert node.casa("policy", "--workload", "agent").stdout.count("rule 1") == 1


def test_a_workload_that_appears_later_is_found(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        policy = node.policy
        late = {"name": "late", "cgroup": node.path("late"), "outbound": [{"to": "127.0.0.1", "ports": sink.port}]}
        node.replace_policy({**policy, "guarded": [f"/{node.name}"], "workloads": [*policy["workloads"], late]})
        # Away and back, as a pod that is scheduled anew.
        (node.cgroups / "late").rmdir()
        wait_until(lambda: node.status()["cgroups"] == 2, "the cgroup is gone")
        (node.cgroups / "late").mkdir()
        # Until it is known whose it is, it is denied by the guarded cgroup above it.
        assert node.run("late", lambda: reach(other_sink.port)).value == "EPERM"
        wait_until(lambda: node.status()["cgroups"] == 3, "the cgroup is found")
        assert node.run("late", lambda: reach(sink.port)).value == "answered"
        assert node.run("late", lambda: reach(other_sink.port)).value == "EPERM"


def test_explain_says_what_the_kernel_does(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        for server, allowed in ((sink, True), (other_sink, False)):
            answer = node.casa("explain", f"127.0.0.1:{server.port}", "--workload", "agent", "--format", "json")
            assert json.loads(answer.stdout)["allowed"] is allowed
            assert answer.returncode == (0 if allowed else 1)
            assert (node.run("agent", lambda: reach(server.port)).value == "answered") is allowed
        refused = node.casa("flows", "--workload", "agent", "--refused").stdout
        assert f"127.0.0.1:{other_sink.port}  no_rule" in refused
        unknown = node.casa("explain", "127.0.0.1:1", "--workload", "nobody")
        assert unknown.returncode == 64
        assert "expected one of: agent" in unknown.stderr


def test_detaching_ends_enforcement_and_leaves_nothing(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        node.stop()
        assert node.casa("detach").returncode == 0
        assert not node.pins.exists()
        assert node.run("agent", lambda: reach(other_sink.port)).value == "answered"
        status = node.casa("status")
        assert status.returncode == 1
        assert "NOT enforced" in status.stdout


def test_it_runs_with_three_capabilities_and_no_other_right(node: Node, sink: Sink, other_sink: Sink) -> None:
    """As nobody, with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON."""
    capabilities = "+bpf,+net_admin,+perfmon"
    with node.running():
        node.stop()
        node.casa("detach")
        # What an installation prepares: the pins' directory and the state's, owned by the guard's user.
        node.pins.mkdir()
        os.chown(node.pins, 65534, 65534)
        subprocess.run(["chown", "-R", "65534:65534", str(node.directory)], check=True)
        for parent in node.directory.parents:
            if str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={capabilities}"]
        command += [f"--ambient-caps={capabilities}", f"--bounding-set=-all,{capabilities}", "--no-new-privs"]
        command += [str(binary()), "node", "run", "--policy", str(node.directory / "node.yaml"), *node.places()]
        with (node.directory / "node.log").open("ab") as log:
            node.process = subprocess.Popen([*command, "--cgroups", str(cgroup_root())], stdout=log, stderr=log)
        ready = node.log().count(" ready")
        wait_until(lambda: node._is_ready(ready), "casa node run is ready as nobody", 30)
        assert is_enforced(node, sink, other_sink)
        node.flow(kind="flow_refused", reason="no_rule")


def test_without_the_capabilities_it_says_what_it_needs(node: Node) -> None:
    with node.running():
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(binary()), "node", "run"]
        command += ["--policy", "/dev/null", "--pins", str(node.pins), "--state", f"/tmp/{node.name}-nobody"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
    policy = Path(f"/tmp/{node.name}.yaml")
    policy.write_text("workloads: []")
    try:
        command[command.index("/dev/null")] = str(policy)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
        assert "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in ended.stderr
    finally:
        policy.unlink()
        subprocess.run(["rm", "-rf", f"/tmp/{node.name}-nobody"], check=True)
        node.remove()


def test_maps_of_another_layout_are_left_alone(node: Node, sink: Sink, other_sink: Sink) -> None:
    with node.running():
        node.stop()
        settings = str(node.pins / "maps/settings")
        dump = subprocess.run(
            ["bpftool", "-j", "map", "lookup", "pinned", settings, "key", "0", "0", "0", "0"],
            capture_output=True, text=True, check=True,
        )
        value = json.loads(dump.stdout)["value"]
        value[0] = "0x63"
        subprocess.run(
            ["bpftool", "map", "update", "pinned", settings, "key", "0", "0", "0", "0", "value", *value], check=True
        )
        ended = node.casa("run", "--policy", str(node.directory / "node.yaml"))
        assert ended.returncode == 1
        assert "another version of casa (layout 99, expected 2); they still enforce" in ended.stderr
        assert is_enforced(node, sink, other_sink)


def test_metrics_tell_of_programs_maps_and_losses(new_node: NewNode, sink: Sink) -> None:
    port = free_port()
    node = new_node(
        lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}), "--metrics", f"127.0.0.1:{port}"
    )

    def metrics() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text

    with node.running():
        node.run("agent", lambda: reach(sink.port))
        node.run("agent", lambda: reach(sink.port + 1))
        node.flow(kind="flow_refused")
        text = metrics()
        for line in (
            'casa_node_map_entries{map="policies"} 1',
            'casa_node_refused_total{workload="agent"} 1',
            'casa_node_events_total{kind="flow_refused"} 1',
            "casa_node_events_lost_total 0",
            "casa_node_policy_current 1",
        ):
            assert line in text, text
        assert 'casa_node_program_verified_instructions{program="casa_egress"}' in text
        wait_until(lambda: 'casa_node_program_runs_total{program="casa_sys_enter"} 0' not in metrics(), "runs are timed")


@pytest.mark.attack(44, "more refused connections than are told", layer="kernel")
def test_what_is_beyond_the_rate_is_counted_and_not_told(new_node: NewNode, sink: Sink) -> None:
    node = new_node(
        lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}), "--events-per-second", "5"
    )

    def refused_often() -> int:
        refused = 0
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", sink.port + 1), timeout=1)
            except PermissionError:
                refused += 1
        return refused

    with node.running():
        port = free_port()
        assert node.run("agent", refused_often).value == 500
        node.stop()
        node.arguments += ["--metrics", f"127.0.0.1:{port}"]
        node.start()
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
        told = len(node.flows(kind="flow_refused"))
        assert 5 <= told < 100
        assert 'casa_node_refused_total{workload="agent"} 500' in text
        assert f'casa_node_events_suppressed_total{{workload="agent"}} {500 - told}' in text


def test_reports_wait_on_the_disk_while_the_runtime_is_away(
    new_node: NewNode, new_runtime: Callable[..., Runtime], sink: Sink
) -> None:
    runtime: Runtime = new_runtime()
    registered = runtime.create_node("node-1")
    secret = runtime.data.parent / "node-secret"
    secret.write_text(registered.secret)
    secret.chmod(0o600)
    node = new_node(
        lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}),
        "--runtime", runtime.url, "--node-id", registered.id, "--secret-file", str(secret),
    )

    def told() -> list[Json]:
        return [event for event in runtime.events() if event["kind"] == "flow_closed"]

    with node.running():
        node.run("agent", lambda: reach(sink.port))
        wait_until(lambda: len(told()) == 1, "the runtime has the flow")
        runtime.stop()
        for _ in range(5):
            node.run("agent", lambda: reach(sink.port))
        node.kill()
        node.start()
        runtime.start()
        wait_until(lambda: len(told()) >= 6, "the runtime has the flows of its absence", 40)
        assert len(told()) == 6
        assert told()[0]["payload"]["workload"] == "agent"


@pytest.mark.attack(44, "more events than are read, while the policy changes", layer="kernel")
def test_a_flood_of_events_does_not_keep_a_policy_from_being_taken_over(
    new_node: NewNode, sink: Sink, other_sink: Sink
) -> None:
    code = """
import os, socket, sys
while not os.path.exists(sys.argv[2]):
    with socket.socket() as connection:
        connection.connect_ex(("127.0.0.1", int(sys.argv[1])))
"""
    node = new_node(
        lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}), "--events-per-second", "1000000"
    )
    with node.running():
        end, port = node.directory / "end", free_port()
        flooding = [node.popen("agent", ["python3", "-c", code, str(port), str(end)]) for _ in range(4)]
        try:
            # By its size: the file is written just now.
            told = node.state / "flows.jsonl"
            wait_until(lambda: told.exists() and told.stat().st_size > 1 << 18, "the flood is told", 60)
            node.replace_policy(agent_policy(node, {"to": "127.0.0.1", "ports": other_sink.port}))
            good, bad = try_both(node, other_sink, sink)
            assert (good.value, bad.value) == ("answered", "EPERM")
            assert node.resident_bytes() < MAXIMUM_RESIDENT
            assert node.stop() == 0
        finally:
            end.touch()
            for process in flooding:
                process.wait(timeout=20)


@pytest.mark.attack(44, "50,000 refused connections that nobody reads", layer="kernel")
def test_what_the_kernel_had_no_room_for_is_counted_and_reported_once(new_node: NewNode, sink: Sink) -> None:
    node = new_node(
        lambda node: agent_policy(node, {"to": "127.0.0.1", "ports": sink.port}), "--events-per-second", "1000000"
    )
    tries = 50_000

    def refused() -> int:
        count = 0
        for _ in range(tries):
            with socket.socket() as connection:
                count += connection.connect_ex(("127.0.0.1", sink.port + 1)) != 0
        return count

    with node.running():
        node.kill()
        assert node.run("agent", refused, timeout=60).value == tries
        lost = node.status()["lost_events"]
        assert 0 < lost < tries
        node.start()
        assert node.flow(kind="flows_lost")["count"] == lost
        wait_until(lambda: len(node.flows(kind="flow_refused")) == tries - lost, "what there was room for", 60)
        assert node.resident_bytes() < MAXIMUM_RESIDENT
        node.kill()
        node.start()
        assert [event["count"] for event in node.flows(kind="flows_lost")] == [lost]
