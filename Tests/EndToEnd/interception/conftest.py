"""One system in network namespaces for all tests of interception."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from casa_runtime import Runtime
from pods import Bank, Network, Node, missing_tools, run


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips, and says why, where no namespaces can be made."""
    if why := missing_tools():
        pytest.skip(f"INTERCEPTION IS NOT TESTED HERE: {why}")


@pytest.fixture(scope="session")
def pods(namespaces: None, new_runtime: Callable[..., Runtime]) -> Iterator[Bank]:
    """The banking example in pods."""
    with tempfile.TemporaryDirectory(prefix="casa-pods-") as directory:
        bank = Bank(Path(directory), new_runtime())
        try:
            yield bank.start()
        finally:
            bank.stop()


@pytest.fixture
def empty(namespaces: None, tmp_path: Path) -> Iterator[Node]:
    """A network namespace without any rule."""
    network = Network(tmp_path)
    node = Node("empty", 99, network)
    run("ip", "netns", "add", node.namespace)
    try:
        yield node
    finally:
        node.remove()
