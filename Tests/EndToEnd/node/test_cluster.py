"""A node whose guard follows a cluster: what objects of elsewhere widen, and what a pod reaches that has no sidecar.

Attacks 40 and 41. The API server is a fake one that admits everything, as if there were neither controller nor
injector; the kernel and the cgroups, which lie where a kubelet makes them, are real.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from casa_node import Node, cgroup_root
from casa_runtime import Json

sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("attacks", "kubernetes")]

from casa_controller import app, policy, system  # noqa: E402
from fake_api import FakeAPI  # noqa: E402
from following import Follower, add, pod, service  # noqa: E402
from layer_alone import LAYER, AttackPassed  # noqa: E402

BANK, VAULT = (f"198.19.{os.getpid() % 251}.{number}" for number in (1, 2))
PORT = 18101
REFUSED = "EPERM"


def attack(number: int, case: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(number, case, layer="kernel")


@pytest.fixture(scope="module")
def servers() -> Iterator[None]:
    """The bank and the vault, at addresses that are no pod's own."""
    made = [socket.socket() for _ in range(2)]
    try:
        for address, server in zip((BANK, VAULT), made):
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            server.bind((address, PORT))
            server.listen(64)
        yield
    finally:
        for address, server in zip((BANK, VAULT), made):
            server.close()
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=False)


def reach(address: str) -> Callable[[], str]:
    def act() -> str:
        with socket.create_connection((address, PORT), timeout=1.5):
            return "connected"

    return act


@dataclass
class Pods(Node):
    """A node whose pods' containers have their cgroups, as a kubelet and containerd make them."""

    containers: dict[str, str] = field(default_factory=dict)
    """Each container's cgroup."""

    def write_policy(self, policy: Json) -> None:
        super().write_policy(policy)
        for place in self.containers.values():
            (self.cgroups / place).mkdir(parents=True, exist_ok=True)


def cgroups_of(listed: list[Json]) -> dict[str, str]:
    """Where each container's cgroup is, by `namespace/pod/container`."""
    found = {}
    for one in listed:
        uid = one["uid"].replace("-", "_")
        for container in one["containers"]:
            scope = f"cri-containerd-{container['id'].rpartition('/')[2]}.scope"
            where = f"kubepods.slice/kubepods-pod{uid}.slice/{scope}"
            found[f"{one['namespace']}/{one['name']}/{container['name']}"] = where
    return found


@dataclass
class Cluster:
    api: FakeAPI
    follower: Follower
    directory: Path

    def try_to_reach(self, container: str, *addresses: str) -> list[Any]:
        """What comes of connections from a container once the node's guard enforces what the cluster says."""
        self.follower.once()
        places = cgroups_of(self.follower.pods)
        node = Pods(self.directory / "guard", self.follower.policy, containers=places)
        pods = self.follower.directory / "node/pods.json"
        node.arguments = ["--pods", str(pods), "--cgroups", str(cgroup_root() / node.name)]
        with node.running():
            return [node.run(places[container], reach(address)).value for address in addresses]


@pytest.fixture
def cluster(servers: None, tmp_path: Path) -> Iterator[Cluster]:
    with FakeAPI() as api:
        api.namespace("bank", {"casa.io/injection": "enabled"})
        api.namespace("rival", {"casa.io/injection": "enabled"})
        api.create("services", service("bank", "bank", BANK, PORT))
        api.create("services", service("vault", "rival", VAULT, PORT))
        apps = [app("web", "client"), app("agent", "agent"), app("bank", "mcp_server", PORT)]
        api.create("multiagentsystems", system("banking", "bank", apps))
        api.create("casapolicies", policy("agent", "bank", ("bank", PORT)))
        yield Cluster(api, Follower(api, tmp_path), tmp_path)


def test_the_sidecar_reaches_what_its_policy_names(cluster: Cluster) -> None:
    """What the refusals rest on."""
    add(cluster.api, pod("agent-1", "agent", 5))
    assert cluster.try_to_reach("bank/agent-1/casa-sidecar", BANK, VAULT) == ["connected", REFUSED]


# Attack 40


@attack(40, "a policy of elsewhere names a workload")
def test_a_policy_of_elsewhere_widens_nothing(cluster: Cluster) -> None:
    add(cluster.api, pod("agent-1", "agent", 5))
    cluster.api.create("casapolicies", policy("agent", "rival", ("vault", PORT)))
    assert cluster.try_to_reach("bank/agent-1/casa-sidecar", BANK, VAULT) == ["connected", REFUSED]


@attack(40, "a system of elsewhere names a workload's Service")
def test_a_system_of_elsewhere_leads_to_no_service(cluster: Cluster) -> None:
    bank = app("bank", "mcp_server") | {"baseUrl": {"scheme": "http", "host": f"bank.bank:{PORT}"}}
    cluster.api.create("multiagentsystems", system("stealing", "rival", [app("agent", "agent"), bank]))
    made = policy("agent", "rival")
    made["spec"]["allowedEndpoints"] = [{"name": "bank", "namespace": "bank", "port": PORT}]
    cluster.api.create("casapolicies", made)
    add(cluster.api, pod("thief-1", "agent", 6, namespace="rival"))
    assert cluster.try_to_reach("rival/thief-1/casa-sidecar", BANK, VAULT) == [REFUSED, REFUSED]


# Attack 41


def skipped(name: str, number: int, *containers: str, **labels: str) -> Json:
    """A pod as its author wrote it."""
    made = pod(name, "none", number, containers=containers)
    made["metadata"]["labels"] = {"app": "agent", "casa.io/injection": "disabled", **labels}
    return made


@attack(41, "a pod without a sidecar connects")
def test_a_pod_without_a_sidecar_reaches_nothing(cluster: Cluster) -> None:
    add(cluster.api, skipped("agent-1", 5, "app"))
    assert cluster.try_to_reach("bank/agent-1/app", BANK, VAULT) == [REFUSED, REFUSED]


@attack(41, "a pod without a sidecar calls itself the workload")
def test_a_label_alone_reaches_nothing(cluster: Cluster) -> None:
    add(cluster.api, skipped("agent-1", 5, "app", **{"casa.io/workload": "agent"}))
    assert "connected" not in cluster.try_to_reach("bank/agent-1/app", BANK, VAULT)


@pytest.mark.skipif(not LAYER, reason="with all on, what it reaches wants a token: attacks/test_admission.py")
@attack(41, "a pod without a sidecar calls itself the workload, and its container the sidecar")
def test_a_container_s_name_reaches_what_the_policy_names_and_no_more(cluster: Cluster) -> None:
    """The guard goes by names that only the injector keeps pods from, so that this one passes the kernel."""
    add(cluster.api, skipped("agent-1", 5, "casa-sidecar", **{"casa.io/workload": "agent"}))
    bank, vault = cluster.try_to_reach("bank/agent-1/casa-sidecar", BANK, VAULT)
    assert vault == REFUSED
    if bank == "connected":
        raise AttackPassed("it reaches what its policy names")
