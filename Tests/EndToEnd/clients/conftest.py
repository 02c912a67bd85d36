"""One system for each adapter that the binary has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from casa_stack import adapters
from client_stack import ClientStack


@pytest.fixture(scope="session", params=adapters())
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientStack]:
    """The apps of foreign SDKs behind real Envoys, by one adapter after the other."""
    made = ClientStack(tmp_path_factory.mktemp(f"clients-{request.param}"), adapter=request.param)
    with made.running():
        yield made
