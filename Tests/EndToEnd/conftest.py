"""Fixtures: a shared runtime, runtimes of one's own, the bank and the apps of a MAS."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from attack_table import (  # noqa: F401: pytest finds its hooks here
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from casa_runtime import Cast, Runtime, bank_server, make_cast
from casa_stack import Stack
from judge_server import JudgeServer

NewRuntime = Callable[..., Runtime]
NewCast = Callable[..., Cast]


@pytest.fixture(scope="session")
def new_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewRuntime]:
    """Makes runtimes, each with its own data; `start=False` leaves the process to the test."""
    made: list[Runtime] = []

    def make(*arguments: str, start: bool = True) -> Runtime:
        runtime = Runtime(tmp_path_factory.mktemp("runtime") / "data", list(arguments))
        made.append(runtime)
        return runtime.start() if start else runtime

    yield make
    for runtime in made:
        runtime.discard()


@pytest.fixture(scope="session")
def runtime(new_runtime: NewRuntime) -> Runtime:
    """One runtime for all tests that do not stop it."""
    return new_runtime()


@pytest.fixture(scope="session")
def bank_url() -> Iterator[str]:
    with bank_server() as url:
        yield url


@pytest.fixture(scope="session")
def new_cast(runtime: Runtime, bank_url: str) -> NewCast:
    """Makes MAS with apps, in the shared runtime or another one."""
    numbers = itertools.count(1)

    def make(where: Runtime | None = None) -> Cast:
        return make_cast(where or runtime, bank_url, f"banking-{next(numbers)}")

    return make


@pytest.fixture(scope="session")
def cast(new_cast: NewCast) -> Cast:
    """One MAS for all tests that only work in it."""
    return new_cast()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The banking example behind real Envoys."""
    made = Stack(tmp_path_factory.mktemp("stack"), adapter=os.environ.get("CASA_ADAPTER"))
    with made.running():
        yield made


@pytest.fixture(scope="module")
def judge() -> Iterator[JudgeServer]:
    """Stands in for the verifying LLM."""
    server = JudgeServer()
    yield server
    server.close()
