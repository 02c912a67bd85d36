"""What the controller writes for a system, as Kubernetes reads it."""

from __future__ import annotations

import os
from pathlib import Path


import pytest
import yaml
from charts import kubernetes_problems
from rendering import BANK, objects, render

GOLDEN = Path(__file__).parent / "golden-objects"
MODES = ("cilium", "istio")
CORE = ("v1", "apps/v1", "networking.k8s.io/v1")

in_each_mode = pytest.mark.parametrize("mode", MODES)


@in_each_mode
def test_the_objects_are_as_they_were_looked_at(mode: str) -> None:
    """`make charts` takes over what is printed now; look at the difference."""
    printed = render("--mode", mode).stdout
    file = GOLDEN / f"{mode}.yaml"
    if os.environ.get("CASA_GOLDEN") == "write":
        file.write_text(printed)
    assert printed == file.read_text()


@in_each_mode
@pytest.mark.parametrize("version", ["1.28", "1.35"])
def test_kubernetes_takes_its_own_kinds(mode: str, version: str) -> None:
    core = [o for o in objects(mode) if o["apiVersion"] in CORE]
    assert core
    for made in core:
        assert not kubernetes_problems(made, version)


@in_each_mode
def test_yaml_says_what_json_says(mode: str) -> None:
    assert list(yaml.safe_load_all(render("--mode", mode).stdout)) == objects(mode)


@in_each_mode
def test_no_object_is_written_twice(mode: str) -> None:
    names = [(o["apiVersion"], o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects(mode)]
    assert len(names) == len(set(names))


def test_what_is_not_in_force_is_told_and_ends_in_failure(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    second = BANK.read_text().split("\n---\n")[1].replace("name: client, namespace", "name: z, namespace")
    file.write_text(BANK.read_text() + "\n---\n" + second)
    done = render(file=file)
    assert done.returncode == 1
    assert "bank/z: TargetTaken" in done.stderr
    assert "casa-workload-agent" in done.stdout


def test_a_file_that_cannot_be_read_is_named_with_the_place(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BANK.read_text().replace("type: agent", "type: robot"))
    done = render(file=file)
    assert done.returncode == 64 and not done.stdout
    assert str(file) in done.stderr and "spec.apps[1].type" in done.stderr


def test_an_unknown_workload_is_refused() -> None:
    done = render("--workload", "nobody", "--client-id", "app_1")
    assert done.returncode == 64 and "kubernetesWorkloadName: nobody" in done.stderr
