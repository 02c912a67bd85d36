"""The controller as a process, and the objects that tests declare."""

from __future__ import annotations

import base64
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import START_DEADLINE, Runtime, binary, free_port, wait_until
from fake_api import FakeAPI

Object = dict[str, Any]

#: What the controller may write without anything being wrong: that it works.
LEASE = "leases"


@dataclass
class Controller:
    """One replica; it may be killed and started again."""

    api: FakeAPI
    runtime: Runtime
    directory: Path
    identity: str = "controller-0"
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    port: int = field(default_factory=free_port)

    @property
    def log(self) -> Path:
        return self.directory / f"{self.identity}.log"

    def start(self) -> Controller:
        kubeconfig = self.api.kubeconfig(self.directory / f"{self.identity}.kubeconfig")
        command = [
            str(binary()), "controller", "run", "--runtime", self.runtime.url,
            "--admin-credential-file", str(self.runtime.data / "admin-credential"), "--identity", self.identity,
            "--metrics", f"127.0.0.1:{self.port}", "--resync-seconds", "1", "--requests-per-second", "10000",
            *self.arguments,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubeconfig)}
            )
        wait_until(lambda: self.metrics() is not None, "the controller serves its metrics", START_DEADLINE)
        return self

    def metrics(self) -> dict[str, float] | None:
        try:
            text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        except httpx.TransportError:
            return None
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def reconciliations(self) -> float:
        return (self.metrics() or {}).get('casa_controller_reconciliations_total{result="done"}', 0)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process = None
        return code


def app(name: str, kind: str, port: int = 8080, **more: Any) -> Object:
    made: Object = {"name": name, "type": kind, "kubernetesWorkloadName": name, **more}
    if kind != "client":
        made["baseUrl"] = {"scheme": "http", "host": f"{name}:{port}"}
    return made


def system(name: str, namespace: str, apps: Iterable[Object] | None = None, **spec: Any) -> Object:
    if apps is None:
        apps = [app("web", "client"), app("agent", "agent"), app("bank", "mcp_server", 8101)]
    return {
        "apiVersion": "casa.io/v1alpha1",
        "kind": "MultiAgentSystem",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"name": name, "apps": list(apps), **spec},
    }


def policy(workload: str, namespace: str, *endpoints: tuple[str, int], name: str | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "casa.io/v1alpha1",
        "kind": "CASAPolicy",
        "metadata": {"name": name or workload, "namespace": namespace},
        "spec": {
            "targetRef": {"kind": "Deployment", "name": workload},
            "allowedProtocols": ["mcp", "a2a", "http"],
            "allowedEndpoints": [{"name": name, "namespace": namespace, "port": port} for name, port in endpoints],
            **spec,
        },
    }


def phase(made: Object | None) -> str | None:
    return ((made or {}).get("status") or {}).get("phase")


def reason(made: Object | None, condition: str = "Ready") -> str | None:
    conditions = ((made or {}).get("status") or {}).get("conditions") or []
    return next((one["reason"] for one in conditions if one["type"] == condition), None)


def secret_text(secret: Object, key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def writes(api: FakeAPI) -> int:
    """How often anything but a Lease was written."""
    counters = api.counters()["requests"]
    verbs = ("create", "update", "patch", "apply", "delete")
    return sum(
        count for name, count in counters.items() if name.split(" ")[0] in verbs and not name.split(" ")[1].startswith(LEASE)
    )
