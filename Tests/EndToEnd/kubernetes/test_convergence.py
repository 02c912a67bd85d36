"""Whatever happens, and whatever goes wrong meanwhile: in the end cluster and runtime are as the objects say.

A model, a few lines below, says what that is. Steps are drawn from a seed: people create, change and delete objects and
what the controller made of them, the API server breaks in every way it can, replicas are killed. Then the trouble ends, and
the state is compared with the model's.

    CASA_SEEDS=1,2,3 pytest Tests/EndToEnd/kubernetes/test_convergence.py
"""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from casa_controller import Controller, Object, app, phase, policy, system, writes
from casa_runtime import Runtime, wait_until
from fake_api import FakeAPI, Refused
from test_controller import CRDS, is_known, registered

NAMESPACES = ("one", "two")
NAMES = ("alpha", "beta", "gamma")
WORKLOADS = ("a", "b", "c", "d")
STEPS = 40

FAULTS: list[Object] = [
    {"kind": "status", "status": 500, "probability": 0.3},
    {"kind": "status", "status": 429, "retry_after": 1, "probability": 0.2},
    {"kind": "status", "status": 409, "verb": "apply", "probability": 0.3},
    {"kind": "status", "status": 503, "verb": "list", "probability": 0.5},
    {"kind": "reset", "probability": 0.2},
    {"kind": "lost", "probability": 0.3},
    {"kind": "truncate", "probability": 0.2},
    {"kind": "garbage", "probability": 0.2},
    {"kind": "delay", "seconds": 0.3, "probability": 0.3},
    {"kind": "break-watch", "after": 2},
    {"kind": "garbage-watch", "after": 1},
    {"kind": "expire-watch", "after": 1},
]


def seeds() -> list[int]:
    return [int(seed) for seed in os.environ.get("CASA_SEEDS", "1,2").split(",")]


@pytest.fixture
def api(new_api: Callable[..., FakeAPI], request: pytest.FixtureRequest) -> FakeAPI:
    api = new_api(crds=CRDS, history=200)
    for name in NAMESPACES:
        api.namespace(name, {"casa.io/injection": "enabled"})
    return api


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime(tmp_path / "data").start()
    yield runtime
    runtime.stop()


class World:
    """What people do, and what it should come to."""

    def __init__(self, api: FakeAPI, runtime: Runtime, seed: int) -> None:
        self.api = api
        self.runtime = runtime
        self.random = random.Random(seed)

    # Steps

    def some_apps(self) -> list[Object]:
        chosen = self.random.sample(WORKLOADS, self.random.randint(1, 3))
        return [app(name, self.random.choice(("agent", "mcp_server", "client"))) for name in chosen]

    def create(self) -> None:
        made = system(self.random.choice(NAMES), self.random.choice(NAMESPACES), self.some_apps())
        # Names collide now and then.
        made["spec"]["name"] = self.random.choice((made["metadata"]["namespace"] + made["spec"]["name"], "shared"))
        self.api.create("multiagentsystems", made)

    def one(self, plural: str) -> Object:
        return copy.deepcopy(self.random.choice(self.api.all(plural)))

    def change(self) -> None:
        found = self.one("multiagentsystems")
        found["spec"] |= {"apps": self.some_apps(), "allowUndecided": self.random.random() < 0.5}
        self.api.update("multiagentsystems", found)

    def delete(self) -> None:
        found = self.one("multiagentsystems")["metadata"]
        self.api.delete("multiagentsystems", found["name"], found["namespace"])

    def create_policy(self) -> None:
        endpoints = [(name, 8080) for name in self.random.sample(WORKLOADS, 2)]
        workload, namespace = self.random.choice(WORKLOADS), self.random.choice(NAMESPACES)
        self.api.create("casapolicies", policy(workload, namespace, *endpoints, name=f"p{self.random.randint(1, 4)}"))

    def delete_policy(self) -> None:
        found = self.one("casapolicies")["metadata"]
        self.api.delete("casapolicies", found["name"], found["namespace"])

    def spoil(self) -> None:
        plural = self.random.choice(("networkpolicies", "ciliumnetworkpolicies", "secrets"))
        made = [one for one in self.api.all(plural) if one["metadata"]["name"].startswith("casa-workload-")]
        found = copy.deepcopy(self.random.choice(made))
        if self.random.random() < 0.5:
            self.api.delete(plural, found["metadata"]["name"], found["metadata"]["namespace"])
        elif plural != "secrets":
            found["spec"]["egress"] = [{}]
            self.api.update(plural, found)

    def spoil_runtime(self) -> None:
        found = self.random.choice(self.runtime.admin("GET", "/apps")["apps"])
        self.runtime.admin("DELETE", f"/apps/{found['id']}", status=204)

    def step(self) -> None:
        action = self.random.choice(
            [self.create] * 3 + [self.change] * 2 + [self.create_policy] * 3
            + [self.delete, self.delete_policy, self.spoil, self.spoil, self.spoil_runtime]
        )  # fmt: skip
        try:
            action()
        except (Refused, IndexError, KeyError, AssertionError):
            # Nothing there to choose from, or the API server refuses it, as it should.
            return

    # The model

    def expected(self) -> dict[str, Object]:
        """The systems in force, by name at the runtime."""
        ordered = sorted(
            self.api.all("multiagentsystems"),
            key=lambda one: (
                one["metadata"]["creationTimestamp"], one["metadata"]["namespace"], one["metadata"]["name"],
            ),
        )  # fmt: skip
        names: dict[str, Object] = {}
        taken: set[tuple[str, str]] = set()
        for one in ordered:
            namespace = one["metadata"]["namespace"]
            workloads = {(namespace, each["kubernetesWorkloadName"]) for each in one["spec"]["apps"]}
            if one["spec"]["name"] in names or taken & workloads:
                continue
            names[one["spec"]["name"]] = one
            taken |= workloads
        return names

    def differences(self) -> list[str]:
        expected = self.expected()
        wrong: list[str] = []
        at_runtime = {one["name"] for one in self.runtime.admin("GET", "/mas")["mas"]}
        if at_runtime != set(expected):
            wrong.append(f"the runtime has {sorted(at_runtime)}, and should have {sorted(expected)}")
        for name, one in expected.items():
            known = registered(self.runtime, name)
            apps = {each["name"]: each["type"] for each in one["spec"]["apps"]}
            if known is None or {key: each["kind"] for key, each in known["apps"].items()} != apps:
                wrong.append(f"the runtime's apps of {name} are not {apps}")
            elif known["allow_undecided"] != one["spec"].get("allowUndecided", False):
                wrong.append(f"the settings of {name} at the runtime are old")
            if phase(one) != "Active":
                wrong.append(f"{name} is {phase(one)}: {one.get('status')}")
        workloads = {
            (one["metadata"]["namespace"], f"casa-workload-{each['kubernetesWorkloadName']}")
            for one in expected.values() for each in one["spec"]["apps"]
        }  # fmt: skip
        for plural in ("secrets", "networkpolicies", "ciliumnetworkpolicies"):
            there = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in self.api.all(plural)}
            there = {place for place in there if place[1].startswith("casa-workload-")}
            if there != workloads:
                wrong.append(f"{plural}: missing {workloads - there}, too many {there - workloads}")
        for plural in ("networkpolicies", "ciliumnetworkpolicies"):
            if any({} in one["spec"].get("egress", []) for one in self.api.all(plural)):
                wrong.append(f"one of the {plural} is still spoilt")
        if not wrong:
            wrong += [
                f"the credentials in {one['metadata']['name']} don't work"
                for one in self.api.all("secrets")
                if one["metadata"]["name"].startswith("casa-workload-") and not is_known(self.runtime, one)
            ]
        for one in self.api.all("multiagentsystems"):
            if one["metadata"].get("deletionTimestamp"):
                wrong.append(f"{one['metadata']['name']} is still being deleted")
            elif one["spec"]["name"] not in expected or expected[one["spec"]["name"]] is not one and phase(one) != "Failed":
                if phase(one) != "Failed":
                    wrong.append(f"{one['metadata']['namespace']}/{one['metadata']['name']} is {phase(one)}, not Failed")
        for one in self.api.all("casapolicies"):
            if phase(one) not in ("Active", "Pending", "Failed"):
                wrong.append(f"the policy {one['metadata']['name']} has no phase")
        return wrong


@pytest.mark.parametrize("seed", seeds())
def test_cluster_and_runtime_converge_to_what_is_declared(
    seed: int, api: FakeAPI, runtime: Runtime, tmp_path: Path
) -> None:
    world = World(api, runtime, seed)
    controller = Controller(api, runtime, tmp_path, identity="same").start()
    try:
        for _ in range(STEPS):
            world.step()
            roll = world.random.random()
            if roll < 0.15:
                api.call(lambda server, fault=world.random.choice(FAULTS): server.faults.append(_fault(fault)))
            elif roll < 0.20:
                api.call(lambda server: server.break_watches())
            elif roll < 0.24:
                api.call(lambda server: server.compact())
            elif roll < 0.28:
                controller.kill()
                controller.start()
            elif roll < 0.30:
                api.down()
                time.sleep(0.3)
                api.up()
            elif roll < 0.35:
                api.clear_faults()
            time.sleep(world.random.random() * 0.15)
        api.clear_faults()
        differences: list[str] = ["nothing was compared"]

        def is_right() -> bool:
            differences[:] = world.differences()
            return not differences

        try:
            wait_until(is_right, "all is as declared", 60)
        except AssertionError:
            raise AssertionError(f"seed {seed}: {differences}") from None
        # And then it rests.
        before, runs = writes(api), controller.reconciliations()
        wait_until(lambda: controller.reconciliations() > runs + 10, "all was looked at again", 30)
        assert writes(api) == before and not world.differences()
    finally:
        controller.kill()


def _fault(members: Object) -> Any:
    from fake_api import Fault

    return Fault(**members)


def test_another_replica_takes_over_when_the_one_that_works_is_killed(
    api: FakeAPI, runtime: Runtime, tmp_path: Path
) -> None:
    first = Controller(api, runtime, tmp_path, identity="first").start()
    wait_until(lambda: (first.metrics() or {}).get("casa_controller_leading") == 1, "the first works", 30)
    second = Controller(api, runtime, tmp_path, identity="second").start()
    try:
        api.create("multiagentsystems", system("alpha", "one"))
        wait_until(lambda: phase(api.get("multiagentsystems", "alpha", "one")) == "Active", "it works", 30)
        assert (second.metrics() or {})["casa_controller_leading"] == 0
        first.kill()
        api.create("multiagentsystems", system("beta", "two"))
        wait_until(lambda: phase(api.get("multiagentsystems", "beta", "two")) == "Active", "the second works", 60)
        assert second.stop() == 0
    finally:
        for replica in (first, second):
            if replica.process is not None:
                replica.kill()
