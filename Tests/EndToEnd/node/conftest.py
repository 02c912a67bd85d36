"""A real kernel is needed, and the right to load programs into it."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.exit("the node guard's tests need root: they load kernel programs and make cgroups", 1)
