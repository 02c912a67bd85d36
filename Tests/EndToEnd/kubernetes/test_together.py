"""The charts and the program together: command lines, injected pods, and the rights that the controller's objects need."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from casa_injector import Injector, answer, patched, review
from casa_runtime import binary
from charts import DEMO, ROOT, RUNTIME, kubernetes_problems, manifests, one, pod_specs
from custom_resources import EXAMPLES, PLURALS, problems, read

DATABASE = {"postgresql": {"external": {"urlSecret": {"name": "casa-database"}}}}
ISTIO = {"mode": "istio", "injector": {"istioProxyImage": "docker.io/istio/proxyv2:1.27.0"}}
MODES: dict[str, dict[str, Any]] = {"cilium": DATABASE, "istio": {**DATABASE, **ISTIO}}
EVERYTHING = yaml.safe_load((RUNTIME / "ci" / "everything-values.yaml").read_text())


# --- command lines -------------------------------------------------------------------------------


def command_lines() -> dict[str, list[str]]:
    """Every way in which a chart calls the program, by what it calls."""
    found: dict[str, list[str]] = {}
    detaching = {**DATABASE, "nodeGuard": {"enabled": True, "detach": True}}
    for values in (DATABASE, MODES["istio"], EVERYTHING, detaching):
        for version in ("1.28", "1.35"):
            for made in manifests(RUNTIME, values, version=version):
                for _, _, spec in pod_specs([made]):
                    for container in spec.get("initContainers", []) + spec["containers"]:
                        if args := container.get("args"):
                            found.setdefault(" ".join(args), args)
    return found


def subcommand(args: list[str]) -> str:
    return " ".join(itertools.takewhile(lambda word: not word.startswith("--"), args))


def help_of(command: str) -> str | None:
    """What the program says of a command; None for one that it does not have, of which it tells its parent's."""
    done = subprocess.run([binary(), *command.split(), "--help"], capture_output=True, text=True, check=True)
    text = re.sub(r"\s+", " ", done.stdout)
    if f"USAGE: casa {command} <subcommand>" in text:
        # Without a subcommand it means `run`.
        return help_of(f"{command} run")
    return text if f"USAGE: casa {command} " in text else None


AWAITED: set[str] = set()
"""What the program is still to learn. Take it out here when it is there."""


@pytest.mark.parametrize("args", [pytest.param(args, id=subcommand(args)) for args in command_lines().values()])
def test_the_program_knows_what_the_charts_ask_of_it(args: list[str]) -> None:
    told = help_of(subcommand(args))
    if told is None:
        pytest.xfail(f"the program has no `casa {subcommand(args)}` yet")
    known = set(re.findall(r"--[a-z][a-z-]*[a-z]", told))
    assert {word for word in args if word.startswith("--")} - AWAITED <= known


# --- pods ----------------------------------------------------------------------------------------


def pod_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """A pod as a Deployment's ReplicaSet asks for it."""
    template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{name}-7d9c6b5f4",
        "uid": "6f1c0a52-0000-4000-8000-000000000000",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-7d9c6b5f4-",
            "namespace": deployment["metadata"]["namespace"],
            "labels": {**template["metadata"]["labels"], "pod-template-hash": "7d9c6b5f4"},
            "ownerReferences": [owner],
        },
        "spec": json.loads(json.dumps(template["spec"])),
    }


def injector_arguments(values: dict[str, Any]) -> tuple[str, ...]:
    """Those of the chart, without what the test chooses itself: addresses and files."""
    args = one(manifests(RUNTIME, values), "Deployment", "casa-injector")["spec"]["template"]["spec"]["containers"][0]
    words = iter(args["args"][1:])
    kept: list[str] = []
    for word in words:
        if word in ("--listen", "--certificate", "--key", "--metrics", "--log-level"):
            next(words)
        else:
            kept.append(word)
    return tuple(kept)


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    made = Injector(tmp_path_factory.mktemp("charts-injector"), injector_arguments(DATABASE)).start()
    with made.client() as client:
        yield client
    made.stop()


@pytest.mark.parametrize("name", ["client", "agent", "bank"])
def test_the_demos_pods_get_their_sidecars(injector: httpx.Client, name: str) -> None:
    before = pod_of(one(manifests(DEMO), "Deployment", name))
    made = patched(before, answer(injector, "/mutate", review(before, namespace="banking")))
    assert [container["name"] for container in made["spec"]["initContainers"]] == [
        "casa-intercept",
        "casa-authorize",
        "casa-sidecar",
    ]
    validated = answer(injector, "/validate", review(made, namespace="banking"))
    assert validated["allowed"], validated
    for version in ("1.29", "1.35"):
        assert kubernetes_problems(made, version) == ()


@pytest.mark.parametrize("name", ["client", "agent", "bank"])
def test_the_demos_pods_are_those_that_policies_select(injector: httpx.Client, name: str) -> None:
    before = pod_of(one(manifests(DEMO), "Deployment", name))
    made = patched(before, answer(injector, "/mutate", review(before, namespace="banking")))
    assert made["metadata"]["labels"]["casa.io/workload"] == name


@pytest.mark.parametrize("name", [pod["metadata"]["name"] for pod in read(ROOT / "deploy/kind/attacker.yaml")])
def test_the_attackers_pods_do_not(injector: httpx.Client, name: str) -> None:
    (pod,) = [pod for pod in read(ROOT / "deploy/kind/attacker.yaml") if pod["metadata"]["name"] == name]
    asked = review(pod, namespace="banking", name=name)
    mutated = answer(injector, "/mutate", asked)
    if mutated["allowed"]:
        made = patched(pod, mutated)
        assert not answer(injector, "/validate", review(made, namespace="banking", name=name))["allowed"]


# --- the controller's objects --------------------------------------------------------------------


def rendered(mode: str, files: list[Path]) -> tuple[list[dict[str, Any]], str]:
    if help_of("controller render") is None:
        pytest.xfail("the program has no `casa controller render` yet")
    done = subprocess.run(
        [binary(), "controller", "render", "--mode", mode, *(word for path in files for word in ("-f", str(path)))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [made for made in yaml.safe_load_all(done.stdout) if made], done.stderr


@pytest.fixture
def demo_files(tmp_path: Path) -> list[Path]:
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump_all([made for made in manifests(DEMO) if made["kind"] in PLURALS]))
    return [path]


@pytest.mark.parametrize("mode", MODES)
class TestController:
    def test_carries_out_the_demo(self, mode: str, demo_files: list[Path]) -> None:
        objects, told = rendered(mode, demo_files)
        assert told == "", "something would not be in force"
        ours = {"CiliumNetworkPolicy", "NetworkPolicy"} if mode == "cilium" else {"EnvoyFilter", "NetworkPolicy"}
        assert ours <= {made["kind"] for made in objects}
        for made in objects:
            if "istio.io" not in made["apiVersion"]:
                assert kubernetes_problems(made, "1.35") == ()

    def test_may_write_what_it_writes_and_no_other_kind(self, mode: str, demo_files: list[Path]) -> None:
        objects, _ = rendered(mode, demo_files + [EXAMPLES / "original-banking-mas.yaml", EXAMPLES / "original-policies.yaml"])
        written = {(group(made["apiVersion"]), plural(made["kind"])) for made in objects}
        rules = one(manifests(RUNTIME, MODES[mode]), "ClusterRole", "casa-controller")["rules"]
        allowed = {
            (name, resource)
            for rule in rules
            for name in rule["apiGroups"]
            for resource in rule["resources"]
            if {"get", "list", "watch", "create", "patch", "delete"} <= set(rule["verbs"])
        }
        assert written <= allowed
        # What no example leads to: LLMs outside the mesh.
        assert allowed - written <= {("networking.istio.io", "serviceentries"), ("networking.istio.io", "destinationrules")}


def group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def test_the_original_manifests_are_understood_by_the_program() -> None:
    """The API server's reading and the program's are two: what one takes, the other must."""
    if help_of("controller render") is None:
        pytest.xfail("the program has no `casa controller render` yet")
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        assert [problem for resource in read(path) for problem in problems(resource)] == []
        done = subprocess.run([binary(), "controller", "render", "-f", str(path)], capture_output=True, text=True)
        # A policy by itself has no app as its target; that is no fault of its form.
        faults = [line for line in done.stderr.splitlines() if "InvalidSpec" in line or "expected" in line]
        assert faults == [], path.name
