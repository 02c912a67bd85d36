"""`casa node follow` beside an API server: the files that a node's guard reads."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from casa_runtime import ROOT, binary, wait_until
from fake_api import FakeAPI
from following import Follower, add, endpoints, pod, service
from rendering import BANK

PLURALS = {"MultiAgentSystem": "multiagentsystems", "CASAPolicy": "casapolicies"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeAPI]:
    with FakeAPI(crds=ROOT / "deploy/crds") as api:
        api.namespace("bank", {"casa.io/injection": "enabled"})
        api.namespace("shop")
        for made in (
            service("kube-dns", "kube-system", "10.96.0.10", 53),
            service("casa-runtime", "casa-system", "10.96.0.20", 8700),
            service("bank", "bank", "10.96.0.30", 8101),
        ):
            api.create("services", made)
        api.create("endpointslices", endpoints("bank", "bank", ["10.1.0.7"], 8101))
        for written in yaml.safe_load_all(BANK.read_text()):
            api.create(PLURALS[written["kind"]], written)
        add(api, pod("agent-1", "agent", 5))
        add(api, pod("agent-2", "agent", 6, node="worker-2"))
        add(api, pod("stall-1", "agent", 8, namespace="shop"))
        yield api


@pytest.fixture
def follower(api: FakeAPI, tmp_path: Path) -> Iterator[Follower]:
    follower = Follower(api, tmp_path)
    yield follower
    if follower.process:
        follower.process.kill()
        follower.process.wait()


AGENT = {"bank/agent-1/.pod", "bank/agent-1/app", "bank/agent-1/casa-authorize", "bank/agent-1/casa-sidecar"}


def test_once_writes_what_a_node_guard_reads(follower: Follower) -> None:
    follower.once()
    assert set(follower.workloads) == AGENT
    assert {p["name"] for p in follower.pods} == {"agent-1", "stall-1"}
    checked = subprocess.run(
        [str(binary()), "node", "policy", "--check", str(follower.directory / "node/policy.json")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert checked.returncode == 0, checked.stderr
    to = {rule["to"] for rule in follower.workloads["bank/agent-1/casa-sidecar"]["outbound"]}
    assert {"10.96.0.30", "10.1.0.7"} <= to and "10.96.0.20" not in to
    for name in ("policy.json", "pods.json"):
        # The guard is another user.
        assert (follower.directory / "node" / name).stat().st_mode & 0o777 == 0o644


def test_whose_flows_they_are_says_the_status_which_a_tenant_can_t_write(follower: Follower, api: FakeAPI) -> None:
    follower.once()
    assert "app_id" not in follower.workloads["bank/agent-1/app"]
    system = api.get("multiagentsystems", "banking", "bank")
    assert system is not None
    mine, theirs = ("app_01a2" + "0" * 27 + digit for digit in "12")
    annotations = {"casa.io/app-ids": json.dumps({"agent": theirs})}
    system = api.update(
        "multiagentsystems", {**system, "metadata": {**system["metadata"], "annotations": annotations}}
    )
    status = {"phase": "Active", "apps": [{"name": "agent", "id": mine}]}
    api.update("multiagentsystems", {**system, "status": status}, "status")
    follower.once()
    assert follower.workloads["bank/agent-1/app"]["app_id"] == mine


def test_changes_of_the_cluster_are_followed(follower: Follower, api: FakeAPI) -> None:
    follower.start()
    wait_until(lambda: set(follower.workloads) == AGENT, "the policy is written", 30)
    add(api, pod("bank-1", "bank", 7))
    wait_until(lambda: "bank/bank-1/casa-sidecar" in follower.workloads, "the new pod is known", 10)
    api.delete("casapolicies", "agent", "bank")

    def reaches_nothing() -> bool:
        return not [r for r in follower.workloads["bank/agent-1/casa-sidecar"]["outbound"] if r["to"].startswith("10.")]

    wait_until(reaches_nothing, "without its policy the agent reaches nothing", 10)
    api.delete("pods", "agent-1", "bank")
    wait_until(lambda: "bank/agent-1/.pod" not in follower.workloads, "the pod is forgotten", 10)
    assert follower.process
    follower.process.send_signal(signal.SIGTERM)
    assert follower.process.wait(15) == 0


def test_while_the_api_server_is_away_the_files_stay(follower: Follower, api: FakeAPI) -> None:
    follower.start()
    wait_until(lambda: set(follower.workloads) == AGENT, "the policy is written", 30)
    files = [follower.directory / "node" / name for name in ("policy.json", "pods.json")]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    api.down()
    assert follower.process
    with pytest.raises(subprocess.TimeoutExpired):
        follower.process.wait(1)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    api.up()
    add(api, pod("bank-1", "bank", 7))
    wait_until(lambda: "bank/bank-1/app" in follower.workloads, "it goes on when the server is back", 40)


def test_the_clusters_and_casas_own_pods_are_denied_nothing_whatever_label_their_namespaces_have(
    follower: Follower, api: FakeAPI
) -> None:
    for number, namespace in enumerate(("kube-system", "casa-system"), 1):
        found = api.get("namespaces", namespace)
        assert found is not None
        labels = {**found["metadata"].get("labels", {}), "casa.io/injection": "enabled"}
        api.update("namespaces", {**found, "metadata": {**found["metadata"], "labels": labels}})
        add(api, pod("own", "agent", number, namespace=namespace))
    follower.once()
    assert set(follower.workloads) == AGENT
    assert {(p["namespace"], p["name"]) for p in follower.pods} >= {("kube-system", "own"), ("casa-system", "own")}


def test_a_start_writes_nothing_that_is_there_already(follower: Follower) -> None:
    follower.once()
    files = [follower.directory / "node" / name for name in ("policy.json", "pods.json")]
    before = [file.stat().st_mtime_ns for file in files]
    follower.once()
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_pod_of_an_injected_namespace_is_denied_everything_until_its_containers_are_known(
    follower: Follower, api: FakeAPI
) -> None:
    made = pod("bank-1", "bank", 7)
    del made["status"]
    api.create("pods", made)
    follower.once()
    names = [name for name in follower.workloads if name.startswith("bank/bank-1/")]
    assert names == ["bank/bank-1/.pod"]
    assert set(follower.workloads[names[0]]) == {"name", "pod"}
