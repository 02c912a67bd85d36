"""A real Envoy with CASA's module, between raw requests and a server that writes down what reaches it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authorization_stand_in import AuthorizationStandIn
from casa_runtime import ROOT, binary, free_port, wait_until
from connections import Connections

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions."
KEY = "k" * 40
POINT = {"side": "ingress", "path": "/mcp"}


def envoy() -> str:
    return str(next(Path(sys.prefix).glob("lib/*/site-packages/envoy/_bin/envoy")))


def filter_directory() -> str:
    """Where the library is: `CASA_FILTER_DIRECTORY`, or beside the executable under test."""
    directory = Path(os.environ.get("CASA_FILTER_DIRECTORY", binary().parent))
    assert (directory / "libcasa_filter.so").exists(), f"build casa_filter; it is not in {directory}"
    return str(directory.resolve())


def settings(**changes: Any) -> Json:
    return {"key": KEY, "listener": "ingress", "cluster": "authorization", "point": POINT, **changes}


def module_filter(configuration: str) -> Json:
    return {
        "name": "envoy.filters.http.dynamic_modules",
        "typed_config": {
            "@type": TYPE + "filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": "casa_filter", "do_not_close": True},
            "filter_name": "casa",
            "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
        },
    }


def cluster(name: str, address: Json, *, http2: bool = False) -> Json:
    made: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if http2:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


def bootstrap(port: int, upstream: int, authorization: Path, configuration: str, log: Path) -> Json:
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "codec_type": "AUTO",
        "http_filters": [
            module_filter(configuration),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + "filters.http.router.v3.Router", "suppress_envoy_headers": True},
            },
        ],
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": TYPE + "access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {
                        "json_format": {
                            key: f"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{key})%"
                            for key in ("answer_token", "decision", "offer")
                        }
                    },
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "in",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "per_connection_buffer_limit_bytes": 1 << 20,
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                cluster("upstream", {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}),
                cluster("authorization", {"pipe": {"path": str(authorization)}}, http2=True),
            ],
        }
    }


@dataclass(frozen=True)
class Received:
    """A request as the server behind Envoy read it."""

    head: bytes
    body: bytes

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines if line)]

    def values(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name == name]


class Upstream(Connections):
    """Answers every request with 200 and keeps what it read."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        super().__init__()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while True:
                head = b""
                while (line := stream.readline()) not in (b"\r\n", b""):
                    head += line
                if not head:
                    return
                request = Received(head, b"")
                if "chunked" in ",".join(request.values("transfer-encoding")):
                    body = b""
                    while (size := int(stream.readline(), 16)) > 0:
                        body += stream.read(size)
                        stream.readline()
                    stream.readline()
                else:
                    body = stream.read(int((request.values("content-length") or ["0"])[0]))
                self.received.append(Received(head, body))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@dataclass
class ModuleStack:
    port: int
    authorization: AuthorizationStandIn
    upstream: Upstream
    process: subprocess.Popen[bytes]
    access_log: Path
    log: Path
    _logged: int = field(default=0)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def metadata(self) -> Json:
        """What the newest line of the access log says."""
        return wait_until(self._newest, "a line in the access log")

    def _newest(self) -> Json | None:
        lines = self.access_log.read_text().splitlines() if self.access_log.exists() else []
        return json.loads(lines[-1]) if lines else None


def start_envoy(folder: Path, configuration: Json, *arguments: str) -> subprocess.Popen[bytes]:
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    command = [envoy(), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id", "--disable-hot-restart"]
    environment = {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": filter_directory()}
    with (folder / "envoy.log").open("wb") as log:
        return subprocess.Popen([*command, "--log-level", "warning", *arguments], stdout=log, stderr=log,
                                env=environment, cwd=ROOT)


@contextmanager
def module_stack(folder: Path, **changes: Any) -> Iterator[ModuleStack]:
    authorization = AuthorizationStandIn(folder / "authorization.sock")
    upstream = Upstream()
    port = free_port()
    access_log = folder / "access.log"
    process = start_envoy(
        folder,
        bootstrap(port, upstream.port, folder / "authorization.sock", json.dumps(settings(**changes)), access_log),
    )
    try:
        log = folder / "envoy.log"

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "Envoy listens", 20)
        yield ModuleStack(port, authorization, upstream, process, access_log, log)
    finally:
        process.terminate()
        process.wait(10)
        authorization.close()
        upstream.close()
