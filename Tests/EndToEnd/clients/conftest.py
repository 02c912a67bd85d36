"""One system for each adapter that the binary has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from casa_stack import Apps, adapters
from client_stack import ClientEndpoints, ClientStack


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    """The apps of foreign SDKs, which one system after the other stands before."""
    made = Apps(tmp_path_factory.mktemp("clients"), ClientEndpoints())
    yield made
    made.end()


@pytest.fixture(scope="session", params=adapters())
def stack(
    request: pytest.FixtureRequest, apps: Apps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClientStack]:
    """The apps behind real Envoys, by one adapter after the other."""
    made = ClientStack(
        tmp_path_factory.mktemp(f"clients-{request.param}"),
        adapter=request.param, endpoints=apps.endpoints, apps=apps,
    )  # fmt: skip
    with made.running():
        yield made
