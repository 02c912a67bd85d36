"""The kubelet asks a pod how it is, past interception, and nobody else gets through the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from casa_runtime import wait_until
from pods import APP_PORT, APP_USER, PROBE_PORT, PROXY_USER, Bank, Network, Node, run


def probe(pods: Bank, path: str) -> httpx.Response:
    return httpx.get(f"http://{pods['bank'].ipv4}:{PROBE_PORT}{path}", timeout=10, trust_env=False)


def test_a_probe_from_outside_is_answered_by_the_sidecar(pods: Bank) -> None:
    got = probe(pods, "/probe/app/liveness")
    assert got.status_code == 200 and got.content == b""
    assert probe(pods, "/probe/app/startup").status_code == 503
    assert probe(pods, "/ready").status_code == 200


def test_nothing_of_the_app_is_reached_by_the_probes_port(pods: Bank) -> None:
    for path in ("/healthz", "/ledger", "/mcp", "/probe/app/readiness", "/probe/app/liveness/../../../ledger"):
        got = probe(pods, path)
        assert got.status_code == 404 and got.content == b""
    # The app's own port is the sidecar's business as ever.
    asked = httpx.get(f"http://{pods['bank'].ipv4}:{APP_PORT}/ledger", timeout=10, trust_env=False)
    assert asked.status_code in (401, 403)


class OtherNetwork(Network):
    """Beside that of the pods."""

    def ipv4(self, number: int) -> str:
        return super().ipv4(number).replace("198.18.", "198.19.")

    def ipv6(self, number: int) -> str:
        return super().ipv6(number).replace("fd00:", "fd01:")


@pytest.fixture
def lone(namespaces: None, tmp_path: Path) -> Iterator[Node]:
    """A pod that is intercepted and has no sidecar."""
    network = OtherNetwork(tmp_path)
    network.prefix += "p"
    network.make("lone")
    try:
        yield network.nodes["lone"]
    finally:
        network.remove()


SERVER = "import http.server as h, sys; h.ThreadingHTTPServer(('0.0.0.0', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"


def is_reached(node: Node) -> bool:
    done = run("curl", "-s", "--max-time", "2", f"http://{node.ipv4}:{PROBE_PORT}/", check=False)
    return done.returncode == 0


def test_an_app_that_takes_the_probes_port_gives_no_answer(lone: Node) -> None:
    assert lone.intercept("--probe-port", str(PROBE_PORT)).returncode == 0
    app = lone.start("app", sys.executable, "-c", SERVER, str(PROBE_PORT), user=APP_USER)
    wait_until(lambda: lone.listens(PROBE_PORT), "the app listens")
    assert not is_reached(lone)
    app.end()
    lone.start("proxy", sys.executable, "-c", SERVER, str(PROBE_PORT), user=PROXY_USER)
    wait_until(lambda: lone.listens(PROBE_PORT), "the sidecar listens")
    assert is_reached(lone)


def test_without_the_option_the_port_is_like_any_other(lone: Node) -> None:
    assert lone.intercept().returncode == 0
    lone.start("proxy", sys.executable, "-c", SERVER, str(PROBE_PORT), user=PROXY_USER)
    wait_until(lambda: lone.listens(PROBE_PORT), "the sidecar listens")
    assert not is_reached(lone)
    assert lone.intercept("--probe-port", "15001").returncode == 64
