"""`casa sidecar` answers the kubelet's probes by asking the app from within."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from casa_injector import Injector
from casa_runtime import binary, free_port, wait_until


class App(ThreadingHTTPServer):
    """Answers by its path: its status, after some seconds."""

    daemon_threads = True

    def __init__(self, secured: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Answering)
        if secured:
            self.socket = secured.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Answering(BaseHTTPRequestHandler):
    server: App

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        _, status, *wait = self.path.partition("?")[0].split("/")
        if wait:
            time.sleep(float(wait[0]))
        self.send_response(int(status))
        if status == "302":
            self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(b"what the app says is nobody's business")

    def log_message(self, *_: object) -> None:
        pass


class HealthService(threading.Thread):
    """gRPC's health service over HTTP/2 without TLS, by the library h2."""

    def __init__(self, states: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.states = states
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            connected, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connected,), daemon=True).start()

    def serve(self, connected: socket.socket) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http.initiate_connection()
        connected.sendall(http.data_to_send())
        asked = b""
        while data := connected.recv(65_536):
            for event in http.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    asked += event.data
                if isinstance(event, h2.events.StreamEnded):
                    self.answer(http, event.stream_id, asked[7:].decode())
            connected.sendall(http.data_to_send())

    def answer(self, http: h2.connection.H2Connection, stream: int, service: str) -> None:
        if service == "silent":
            return
        http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        if service in self.states:
            message = self.states[service]
            http.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
            http.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        else:
            http.send_headers(stream, [("grpc-status", "5")], end_stream=True)


@dataclass
class Sidecar:
    directory: Path
    probes: str
    port: int = field(default_factory=free_port)
    authorization: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Sidecar:
        (self.directory / "key").write_text(secrets.token_urlsafe(32))
        (self.directory / "secret").write_text(secrets.token_urlsafe(32))
        workload = {
            "runtime": "http://127.0.0.1:1", "client_id": "app_00000000000000000000000000",
            "client_secret_file": str(self.directory / "secret"), "sidecar_key_file": str(self.directory / "key"),
            "authorization": f"unix:{self.directory}/authorization.sock", "adapter": "lua",
        }  # fmt: skip
        (self.directory / "workload.yaml").write_text(json.dumps(workload))
        command = [
            str(binary()), "sidecar", str(self.directory / "workload.yaml"), "--directory", str(self.directory / "envoy"),
            "--probes-listen", f"127.0.0.1:{self.port}",
        ]  # fmt: skip
        with (self.directory / "log").open("ab") as log:
            environment = {**os.environ, "CASA_PROBES": self.probes}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

        def listens() -> bool:
            assert self.process and self.process.poll() is None, (self.directory / "log").read_text()
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listens, "probes are answered", 20)
        return self

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0
        finally:
            self.process.kill()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=20)


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def sidecar(app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    directory = tmp_path_factory.mktemp("probes")
    folder = Injector(directory).certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    secured = App(context)
    health = HealthService({"": b"\x08\x01", "ready": b"\x08\x01", "not-ready": b"\x08\x02", "unknown": b""})

    def http(path: str, port: int = app.port, **more: object) -> dict[str, object]:
        return {"httpGet": {"port": port, "path": path, **more}}

    def grpc(service: str) -> dict[str, object]:
        return {"grpc": {"port": health.port, "service": service}}

    header = {"httpHeaders": [{"name": "Host", "value": "a.example"}, {"name": "X-Probe", "value": "y"}]}
    probes: dict[str, object] = {
        "good/liveness": http("/200?x=y", **header), "moved/liveness": http("/302"), "gone/liveness": http("/404"),
        "broken/liveness": http("/503"), "slow/liveness": http("/200/5"), "once/readiness": {**http("/200/3"), "timeoutSeconds": 9},
        "tls/liveness": http("/200", secured.port, scheme="HTTPS"), "plain-at-tls/liveness": http("/200", secured.port),
        "tcp/startup": {"tcpSocket": {"port": app.port}}, "closed/startup": {"tcpSocket": {"port": free_port()}},
        "grpc/liveness": grpc(""), "named/liveness": grpc("ready"), "down/liveness": grpc("not-ready"),
        "missing/liveness": grpc("missing"), "unset/liveness": grpc("unknown"), "silent/liveness": grpc("silent"),
        "no-grpc/liveness": {"grpc": {"port": app.port}},
    }  # fmt: skip
    made = Sidecar(directory, json.dumps(probes)).start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("good/liveness", 200), ("moved/liveness", 200), ("gone/liveness", 503), ("broken/liveness", 503),
        ("slow/liveness", 503), ("tls/liveness", 200), ("plain-at-tls/liveness", 503), ("tcp/startup", 200),
        ("closed/startup", 503), ("grpc/liveness", 200), ("named/liveness", 200), ("down/liveness", 503),
        ("missing/liveness", 503), ("unset/liveness", 503), ("silent/liveness", 503), ("no-grpc/liveness", 503),
    ],
)  # fmt: skip
def test_a_probe_tells_whether_the_app_is_well_and_no_more(sidecar: Sidecar, name: str, status: int) -> None:
    began = time.monotonic()
    got = sidecar.get(f"/probe/{name}")
    assert got.status_code == status
    assert got.content == b"" and set(got.headers) <= {"content-length", "date", "connection"}
    assert time.monotonic() - began < 3


def test_the_app_is_asked_as_the_probe_says(sidecar: Sidecar, app: App) -> None:
    app.asked.clear()
    assert sidecar.get("/probe/good/liveness").status_code == 200
    ((path, headers),) = app.asked
    assert path == "/200?x=y" and headers["host"] == "a.example" and headers["x-probe"] == "y"


@pytest.mark.parametrize(
    "path",
    ["/", "/probe", "/probe/", "/probe/good", "/probe/good/other", "/probe/good/liveness/", "/probe//good/liveness",
     "/probe/good/liveness?x", "/probe/other/liveness", "/200", "/ready/", "//ready", "/probe/%67ood/liveness"],
)  # fmt: skip
def test_nothing_else_is_there(sidecar: Sidecar, app: App, path: str) -> None:
    app.asked.clear()
    raw = socket.create_connection(("127.0.0.1", sidecar.port), timeout=20)
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert raw.recv(100).startswith(b"HTTP/1.1 404")
    raw.close()
    assert not app.asked


def test_only_get_is_answered(sidecar: Sidecar) -> None:
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        got = httpx.request(method, sidecar.url + "/probe/good/liveness", trust_env=False)
        assert got.status_code == 405


def test_the_app_is_asked_once_however_many_ask(sidecar: Sidecar, app: App) -> None:
    app.asked.clear()
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(sidecar.get, ["/probe/once/readiness"] * 30))
    assert {each.status_code for each in answers} == {200}
    assert len(app.asked) == 1


def test_it_is_ready_once_the_authorization_service_listens(sidecar: Sidecar) -> None:
    assert sidecar.get("/ready").status_code == 503
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sidecar.directory / "authorization.sock"))
        listener.listen()
        wait_until(lambda: sidecar.get("/ready").status_code == 200, "Envoy and the service are ready", 20)
    assert sidecar.get("/ready").status_code == 503


@pytest.mark.parametrize("probes", ["[]", "{", '{"a/liveness":{"httpGet":{"port":1,"host":"192.0.2.1"}}}'])
def test_probes_that_are_none_are_refused(tmp_path: Path, probes: str) -> None:
    with pytest.raises(AssertionError, match="CASA_PROBES"):
        Sidecar(tmp_path, probes).start()

