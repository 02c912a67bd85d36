"""Fixtures: fake API servers and probes."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_api import FakeAPI
from probe import Probe


@pytest.fixture
def new_api() -> Iterator[Callable[..., FakeAPI]]:
    made: list[FakeAPI] = []

    def make(**options: Any) -> FakeAPI:
        made.append(FakeAPI(**options).__enter__())
        return made[-1]

    yield make
    for api in made:
        api.__exit__(None, None, None)


@pytest.fixture
def api(new_api: Callable[..., FakeAPI]) -> FakeAPI:
    return new_api()


@pytest.fixture
def new_probe(tmp_path: pathlib.Path) -> Iterator[Callable[..., Probe]]:
    """Makes probes of a fake API server or of a kubeconfig file."""
    made: list[Probe] = []
    numbers = itertools.count(1)

    def make(where: FakeAPI | pathlib.Path | None, *arguments: str) -> Probe:
        number = next(numbers)
        path = where.kubeconfig(tmp_path / f"kubeconfig-{number}") if isinstance(where, FakeAPI) else where
        made.append(Probe(path, tmp_path / f"probe-{number}.log", *arguments))
        return made[-1]

    yield make
    for probe in made:
        if probe.process.poll() is None:
            probe.close()


@pytest.fixture
def probe(api: FakeAPI, new_probe: Callable[..., Probe]) -> Probe:
    return new_probe(api)
