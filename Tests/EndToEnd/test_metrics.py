"""What the authorization service and a sidecar tell of themselves with `--metrics`."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from casa_runtime import Cast, Runtime, binary, free_port, token_of, wait_until
from casa_stack import Process, mcp_headers, new_traceparent, tool_call

PROMPT = "My balance, and tell nobody that I asked"


@dataclass
class Guarded:
    """The bank behind a sidecar and an authorization service that tell their metrics."""

    folder: Path
    cast: Cast
    bank_url: str
    adapter: str
    port: int = field(default_factory=free_port)
    authorize_metrics: int = field(default_factory=free_port)
    sidecar_metrics: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list)

    def start(self) -> Guarded:
        files = {"secret": self.cast.bank.secret or "", "key": secrets.token_urlsafe(32)}
        for name, text in files.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)
        workload = self.folder / "workload.yaml"
        workload.write_text(
            f"runtime: {self.cast.runtime.url}\nclient_id: {self.cast.bank.id}\nclient_secret_file: secret\n"
            f"authorization: unix:{self.folder}/a.sock\nsidecar_key_file: key\nadapter: {self.adapter}\n"
            f"ingress: {{listen: '127.0.0.1:{self.port}', app: '{self.bank_url}'}}\n"
        )
        for port, command in (
            (self.authorize_metrics, ["authorize", str(workload)]),
            (self.sidecar_metrics, ["sidecar", str(workload), "--directory", str(self.folder / "envoy")]),
        ):
            metrics = ["--metrics", f"127.0.0.1:{port}"]
            self.processes.append(Process([str(binary()), *command, *metrics], self.folder / f"{command[0]}.log"))
        wait_until(lambda: self.is_served(self.authorize_metrics), "the service tells its metrics", 20)
        wait_until(lambda: self.is_up(), "Envoy is up", 20)
        return self

    def is_served(self, port: int) -> bool:
        assert all(process.running.poll() is None for process in self.processes), self.logs()
        try:
            return self.get(port, "/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def is_up(self) -> bool:
        return self.is_served(self.sidecar_metrics) and self.sidecar().get("casa_sidecar_envoy_up") == 1

    @property
    def envoy(self) -> int:
        """The process that the sidecar runs."""
        sidecar = self.processes[1].running.pid
        found = {int(pid) for thread in Path(f"/proc/{sidecar}/task").iterdir() for pid in (thread / "children").read_text().split()}
        (envoy,) = found
        return envoy

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))

    def get(self, port: int, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10, trust_env=False)

    def text(self, port: int) -> str:
        answer = self.get(port, "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return answer.text

    def authorize(self) -> dict[str, float]:
        return read(self.text(self.authorize_metrics))

    def sidecar(self) -> dict[str, float]:
        return read(self.text(self.sidecar_metrics))

    def list_tools(self, token: str | None, traceparent: str | None = None) -> int:
        headers = mcp_headers("tools/list") | {"traceparent": traceparent or new_traceparent()}
        if token:
            headers["authorization"] = f"Bearer {token}"
        body = tool_call("", {})
        body["method"], body["params"] = "tools/list", {"_meta": body["params"]["_meta"]}
        url = f"http://127.0.0.1:{self.port}/mcp"
        return httpx.post(url, json=body, headers=headers, timeout=20, trust_env=False).status_code

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()


def read(text: str) -> dict[str, float]:
    """Each series with its value; a name that comes twice, or without saying what it is, is an error."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    types: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in types, name
            types.add(name)
        elif line and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            assert series not in found, series
            assert any(series.startswith(name) for name in types), series
            found[series] = float(value)
    return found


@pytest.fixture(scope="module", params=["grpc", "module"])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, runtime: Runtime, cast: Cast, bank_url: str
) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("metrics"), cast, bank_url, request.param)
    try:
        yield made.start()
    finally:
        made.end()


def count(metrics: dict[str, float], name: str, **labels: str) -> float:
    """The sum over all series of a name that have these labels."""
    return sum(
        value
        for series, value in metrics.items()
        if series.split("{")[0] == name and all(f'{label}="{wanted}"' in series for label, wanted in labels.items())
    )


def test_questions_are_counted_by_what_was_answered_and_nothing_is_told_of_what_they_held(guarded: Guarded) -> None:
    cast = guarded.cast
    begun = cast.client.issue(PROMPT, audience=cast.agent.name).json()
    token = token_of(cast.agent.exchange(begun["access_token"], "user-input", audience=cast.bank.name))
    before = guarded.authorize()
    assert guarded.list_tools(None) == 403
    traceparent = new_traceparent(begun["trace_id"])
    for _ in range(3):
        assert guarded.list_tools(token, traceparent) == 200

    def questions(**labels: str) -> float:
        name = "casa_authorize_questions_total"
        return count(guarded.authorize(), name, adapter=guarded.adapter, direction="ingress", **labels) - count(
            before, name, adapter=guarded.adapter, direction="ingress", **labels
        )

    def decided() -> float:
        """Each good request once, whoever decided it."""
        name = "casa_authorize_decided_in_envoy_total"
        return questions(verdict="allow", reason="") + count(guarded.authorize(), name) - count(before, name)

    assert questions(verdict="refuse", reason="token_missing") == 1
    wait_until(lambda: decided() == 3, "Envoy says what it decided by itself")
    after = guarded.authorize()
    assert count(after, "casa_authorize_seconds_count", direction="ingress") == count(
        after, "casa_authorize_questions_total", direction="ingress"
    )
    if guarded.adapter == "grpc":
        assert count(after, "casa_authorize_cache_total", cache="answers", result="hit") >= 2
    assert count(after, "casa_authorize_cache_total", cache="active_tokens", result="miss") >= 1
    assert after["casa_authorize_runtime_reachable"] == 1
    assert after["casa_authorize_workloads"] == 1
    assert after["casa_authorize_sessions"] == 0
    assert after["casa_authorize_reports_lost_total"] == 0
    wait_until(lambda: guarded.authorize()["casa_authorize_reports_waiting"] == 0, "all is reported")
    told = guarded.text(guarded.authorize_metrics) + guarded.text(guarded.sidecar_metrics)
    for secret in (token, cast.bank.secret, (guarded.folder / "key").read_text(), PROMPT, "Bearer"):
        assert secret and secret not in told


def test_a_sidecar_tells_whether_envoy_is_up_and_what_envoy_tells(guarded: Guarded) -> None:
    found = guarded.sidecar()
    starts = found["casa_sidecar_envoy_starts_total"]
    assert any(re.match(r"envoy_http_downstream_rq_total\{.*\} [1-9]", f"{k} {v:.0f}") for k, v in found.items())
    os.kill(guarded.envoy, signal.SIGKILL)
    wait_until(lambda: guarded.sidecar()["casa_sidecar_envoy_starts_total"] == starts + 1, "Envoy is started again")
    wait_until(lambda: guarded.is_up(), "Envoy is up again", 20)


def test_an_envoy_that_hangs_is_not_up_and_the_answer_comes(guarded: Guarded) -> None:
    envoy = guarded.envoy
    os.kill(envoy, signal.SIGSTOP)
    try:
        assert guarded.sidecar()["casa_sidecar_envoy_up"] == 0
    finally:
        os.kill(envoy, signal.SIGCONT)
    wait_until(lambda: guarded.is_up(), "Envoy goes on")


def test_a_runtime_that_is_away_is_told(
    tmp_path: Path, new_runtime, new_cast, bank_url: str  # noqa: ANN001
) -> None:
    runtime: Runtime = new_runtime()
    guarded = Guarded(tmp_path, new_cast(runtime), bank_url, "grpc")
    try:
        guarded.start()
        wait_until(lambda: guarded.authorize()["casa_authorize_runtime_reachable"] == 1, "the runtime is reached")
        runtime.kill()
        wait_until(lambda: guarded.authorize()["casa_authorize_runtime_reachable"] == 0, "it is known to be away")
        assert guarded.list_tools(None) == 403
        assert guarded.authorize()["casa_authorize_reports_waiting"] >= 1
    finally:
        guarded.end()


@pytest.mark.parametrize("command", ["authorize", "sidecar"])
def test_without_the_option_nothing_is_served_and_a_wrong_one_is_refused(command: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [str(binary()), command, "x.yaml", "--metrics", "nowhere"],
        capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path,
    )
    assert ended.returncode == 64
    assert "--metrics must be host:port" in ended.stderr


def test_what_a_proxy_could_not_describe_is_counted_as_lost(guarded: Guarded) -> None:
    before = count(guarded.authorize(), "casa_authorize_reports_lost_total")
    headers = {"x-casa-sidecar-key": (guarded.folder / "key").read_text()}
    socket = httpx.HTTPTransport(uds=str(guarded.folder / "a.sock"), http1=False, http2=True)
    with httpx.Client(transport=socket, timeout=10) as client:
        answer = client.post("http://authorization/casa/records", content=b"7 {}\n", headers=headers)
    assert answer.status_code == 204, answer.text
    assert count(guarded.authorize(), "casa_authorize_reports_lost_total") == before + 7
