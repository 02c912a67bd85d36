"""A real kernel is needed, and the right to load programs into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casa_node import NewNode, Node, Sink
from casa_runtime import Json

@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.exit("the node guard's tests need root: they load kernel programs and make cgroups", 1)


@pytest.fixture(
    scope="module", params=[[], ["--without-kernel-feature", "bpf_loop"]], ids=["bpf_loop", "bounded"]
)
def variant(request: pytest.FixtureRequest) -> list[str]:
    """Has the tests of what packets hold run under both compiled programs: arguments of `casa node run`."""
    arguments: list[str] = request.param
    return arguments


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def other_sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


@pytest.fixture
def new_node(tmp_path: Path) -> NewNode:
    """Makes a node of this test; the policy is made from it, since it names its cgroups."""

    def make(policy: Callable[[Node], Json], *arguments: str) -> Node:
        node = Node(tmp_path / "node", {}, arguments=list(arguments))
        node.policy = policy(node)
        return node

    return make
