"""`casa node follow` as a process, and what it sees of a cluster."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casa_runtime import binary
from fake_api import FakeAPI

Json = dict[str, Any]
NODE = "worker-1"
DIGITS = "ab" * 31
CONTAINERS = ("app", "casa-sidecar", "casa-authorize")


def pod(
    name: str,
    workload: str,
    number: int,
    namespace: str = "bank",
    node: str = NODE,
    containers: tuple[str, ...] = CONTAINERS,
) -> Json:
    """A pod that runs, with the injector's label and containers."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"casa.io/workload": workload}},
        "spec": {"nodeName": node, "containers": [{"name": c, "image": "x"} for c in containers]},
        "status": {
            "phase": "Running",
            "podIP": f"10.1.0.{number}",
            "podIPs": [{"ip": f"10.1.0.{number}"}],
            "containerStatuses": [
                {
                    "name": c,
                    "containerID": f"containerd://{DIGITS}{number % 10}{place}",
                    "image": "x",
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                }
                for place, c in enumerate(containers, 1)
            ],
        },
    }


def service(name: str, namespace: str, address: str, port: int) -> Json:
    ports = [{"name": "main", "port": port, "protocol": "TCP"}]
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": ports, "selector": {"app": name}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def endpoints(name: str, namespace: str, addresses: list[str], port: int) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "main", "port": port, "protocol": "TCP"}],
    }


def add(api: FakeAPI, made: Json) -> None:
    """As a kubelet and a scheduler do: what is there, and then how it is."""
    status = made["status"]
    created = api.create("pods", {key: value for key, value in made.items() if key != "status"})
    api.update("pods", {**created, "status": status}, "status")


@dataclass
class Follower:
    api: FakeAPI
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def command(self, *more: str) -> list[str]:
        config = self.directory / "kubeconfig"
        self.api.kubeconfig(config)
        where = ["--node", NODE, "--directory", str(self.directory / "node"), "--kubeconfig", str(config)]
        return [str(binary()), "node", "follow", *where, *more]

    def once(self) -> None:
        done = subprocess.run(self.command("--once"), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with (self.directory / "follow.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)

    @property
    def policy(self) -> Json:
        try:
            read: Json = json.loads((self.directory / "node/policy.json").read_text())
        except FileNotFoundError:
            return {"workloads": []}
        return read

    @property
    def workloads(self) -> dict[str, Json]:
        return {workload["name"]: workload for workload in self.policy["workloads"]}

    @property
    def pods(self) -> list[Json]:
        read: list[Json] = json.loads((self.directory / "node/pods.json").read_text())["pods"]
        return read
