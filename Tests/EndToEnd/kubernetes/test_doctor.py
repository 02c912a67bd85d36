"""What `casa doctor` says of a cluster, asked for real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from casa_controller import Object, system
from casa_runtime import binary
from fake_api import FakeAPI
from test_controller import CRDS


def examine(api: FakeAPI, folder: Path) -> tuple[int, dict[str, Object]]:
    kubeconfig = api.kubeconfig(folder / "kubeconfig")
    done = subprocess.run(
        [binary(), "doctor", "--cluster", "--format", "json"],
        env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubeconfig)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)["findings"]}


def test_it_names_what_an_empty_cluster_lacks_and_what_to_do(new_api: Callable[..., FakeAPI], tmp_path: Path) -> None:
    code, findings = examine(new_api(), tmp_path)
    assert code == 1
    for check in ("cluster.crds", "cluster.webhook-mutating", "cluster.parts", "cluster.controller"):
        assert findings[check]["verdict"] == "failed" and findings[check]["remedy"], check
    assert findings["cluster.injection"]["verdict"] == "warning"


def test_it_sees_a_pod_without_a_sidecar_and_a_system_that_nobody_looked_at(
    new_api: Callable[..., FakeAPI], tmp_path: Path
) -> None:
    api = new_api(crds=CRDS)
    api.namespace("bank", {"casa.io/injection": "enabled"})
    api.create("multiagentsystems", system("banking", "bank"))
    pod: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": {"containers": [{"name": "app", "image": "i"}]},
    }  # fmt: skip
    api.create("pods", pod, "bank")
    _, findings = examine(api, tmp_path)
    assert findings["cluster.crds"]["verdict"] == "ok"
    assert findings["cluster.pods"]["verdict"] == "failed" and "bank/bare" in findings["cluster.pods"]["message"]
    assert findings["cluster.systems"]["verdict"] == "warning" and "banking" in findings["cluster.systems"]["message"]


def test_an_api_server_that_does_not_answer_is_one_finding(new_api: Callable[..., FakeAPI], tmp_path: Path) -> None:
    api = new_api()
    api.down()
    code, findings = examine(api, tmp_path)
    assert code == 1 and findings["cluster.api"]["verdict"] == "failed"
    api.up()
