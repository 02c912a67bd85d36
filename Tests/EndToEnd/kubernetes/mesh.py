"""Envoys as Istio would set them up for two workloads, with the filters of our EnvoyFilters, and `casa authorize`.

Istio itself is not here. What istiod does with an EnvoyFilter is done by `Patches`: filters are put first, merged
and replaced in the order in which they stand. Routes go by the names that Istio's go by, and what has no name leads
nowhere.
The runtime and the apps are those of a `casa up` beside it, whose sidecars these Envoys replace.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import binary, free_port, wait_until
from casa_stack import Process, Stack, mcp_headers, tool_call
from module_stack import cluster, envoy
from rendering import one, workload_file

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions.filters."
MANAGER = "envoy.filters.network.http_connection_manager"
WORKLOADS = ("client", "agent", "bank")
AUTHORIZATION = "outbound|9191||casa-authorize-banking.bank.svc.cluster.local"


def _merge(into: Json, more: Json) -> None:
    """As protobuf merges: lists grow, messages merge, all else is replaced."""
    for key, value in more.items():
        if isinstance(value, list):
            into[key] = into.get(key, []) + value
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@dataclass(frozen=True)
class Patches:
    """The patches of one workload's EnvoyFilter."""

    workload: str

    def of(self, context: str, kind: str, filter_name: str) -> list[Json]:
        spec = one("istio", "EnvoyFilter", f"casa-workload-{self.workload}")["spec"]
        assert spec["workloadSelector"]["labels"] == {"casa.io/workload": self.workload}
        return [
            patch["patch"]
            for patch in spec["configPatches"]
            if patch["applyTo"] == kind
            and patch["match"] == {"context": context, "listener": {"filterChain": {"filter": {"name": filter_name}}}}
        ]

    def manager(self, context: str, virtual_hosts: list[Json]) -> Json:
        """A connection manager as Istio makes it, patched."""
        router = {"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "http.router.v3.Router"}}
        filters: list[Json] = [router]
        for patch in self.of(context, "HTTP_FILTER", MANAGER):
            assert patch["operation"] == "INSERT_FIRST"
            filters.insert(0, patch["value"])
        made: Json = {
            "name": MANAGER,
            "typed_config": {
                "@type": TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "mesh",
                "http_filters": filters,
                "route_config": {"virtual_hosts": virtual_hosts},
                # As Istio has it.
                "upgrade_configs": [{"upgrade_type": "websocket"}],
            },
        }
        for patch in self.of(context, "NETWORK_FILTER", MANAGER):
            assert patch["operation"] == "MERGE"
            _merge(made, copy.deepcopy(patch["value"]))
        return made

    def stream(self, context: str, upstream: str) -> Json:
        """The last filter of a chain for what is not HTTP, patched."""
        made: Json = {
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": TYPE + "network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "mesh",
                "cluster": upstream,
            },
        }
        for patch in self.of(context, "NETWORK_FILTER", made["name"]):
            assert patch["operation"] == "REPLACE"
            made = patch["value"]
        return made


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(name: str, port: int, last: Json) -> Json:
    return {"name": name, "address": _address(port), "filter_chains": [{"filters": [last]}]}


def _host(name: str, domains: list[str], upstream: str) -> Json:
    return {
        "name": name,
        "domains": domains,
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": upstream, "timeout": "0s"}}],
    }


@dataclass
class Mesh:
    """The workloads `agent` and `bank`, each behind such an Envoy."""

    stack: Stack
    directory: Path
    key_variable: str = "CASA_SIDECAR_KEY"
    ports: dict[str, int] = field(
        default_factory=lambda: {
            name: free_port() for name in ("authorize", "agent", "agent->", "agent-stream", "bank", "bank-stream")
        }
    )
    processes: list[Any] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20, trust_env=False))

    @contextmanager
    def running(self) -> Iterator[Mesh]:
        try:
            self._start_authorize()
            for workload in ("agent", "bank"):
                self._start_envoy(workload)
            yield self
        finally:
            for process in reversed(self.processes):
                process.end()
            self.http.close()

    def _start_authorize(self) -> None:
        files = []
        for workload in WORKLOADS:
            folder = self.directory / workload
            folder.mkdir()
            (folder / "sidecar-key").write_text(secrets.token_hex(32))
            written = workload_file(workload, self.stack.ids[workload])
            assert written["authorization"] == "0.0.0.0:9191"
            assert written["client_secret_file"] == f"/etc/casa/{workload}/client-secret"
            # As they are mounted there, they are here.
            written["authorization"] = f"127.0.0.1:{self.ports['authorize']}"
            written["runtime"] = f"http://127.0.0.1:{self.stack.endpoints.runtime}"
            written["client_secret_file"] = str(self.stack.state / "apps" / workload / "client-secret")
            written["sidecar_key_file"] = str(folder / "sidecar-key")
            (folder / "workload.yaml").write_text(json.dumps(written))
            files.append(str(folder / "workload.yaml"))
        self.processes.append(Process([str(binary()), "authorize", *files], self.directory / "authorize.log"))
        wait_until(lambda: accepts(self.ports["authorize"]), "the authorization service listens", 30)

    def _start_envoy(self, workload: str) -> None:
        patches = Patches(workload)
        ends = self.stack.endpoints
        app = {"agent": ends.agent_app, "bank": ends.bank_app}[workload]
        listeners = [
            _listener("inbound", self.ports[workload], patches.manager("SIDECAR_INBOUND", [_host("in", ["*"], "app")])),
            _listener("stream", self.ports[f"{workload}-stream"], patches.stream("SIDECAR_INBOUND", "app")),
        ]
        authorization = cluster(AUTHORIZATION, _address(self.ports["authorize"]), http2=True)
        clusters = [cluster("app", _address(app)), authorization]
        if workload == "agent":
            names = ["bank", "bank.bank", "bank.bank.svc", "bank.bank.svc.cluster.local"]
            hosts = [
                _host("bank.bank.svc.cluster.local:8101", [f"{name}:8101" for name in names], "bank"),
                _host("llm.example:8000", ["llm.example:8000"], "llm"),
                # One that the registry has, and the workload's policy has not.
                _host("mail.post.svc.cluster.local:25", ["mail.post:25"], "bank"),
                # What Istio answers where its registry is all there is (REGISTRY_ONLY).
                {
                    "name": "block_all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}],
                },
            ]
            listeners.append(_listener("outbound", self.ports["agent->"], patches.manager("SIDECAR_OUTBOUND", hosts)))
            clusters += [cluster("bank", _address(self.ports["bank"])), cluster("llm", _address(ends.llm_app))]
        file = self.directory / f"{workload}.json"
        file.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
        key = (self.directory / workload / "sidecar-key").read_text()
        log = self.directory / f"{workload}-envoy.log"
        command = [envoy(), "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]
        self.processes.append(Started(command, log, {self.key_variable: key}))
        wait_until(lambda: accepts(self.ports[workload]), f"{workload}'s Envoy listens", 30)

    # Acting as the agent, whose traffic its Envoy takes

    def call(self, tool: str, arguments: Json, traceparent: str, host: str = "bank:8101") -> httpx.Response:
        fields = {**mcp_headers("tools/call", tool), "traceparent": traceparent, "host": host}
        return self.http.post(
            f"http://127.0.0.1:{self.ports['agent->']}/mcp", json=tool_call(tool, arguments), headers=fields
        )

    def ask_llm(self, prompt: str, tool: str, traceparent: str) -> httpx.Response:
        offered = [{"type": "function", "function": {"name": tool, "parameters": {}}}]
        body = {"model": "any", "messages": [{"role": "user", "content": prompt}], "tools": offered}
        fields = {"traceparent": traceparent, "host": "llm.example:8000"}
        return self.http.post(
            f"http://127.0.0.1:{self.ports['agent->']}/v1/chat/completions", json=body, headers=fields
        )


@dataclass
class Started:
    """A program with an environment of its own."""

    command: list[str]
    log: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def end(self) -> None:
        self.running.kill()
        self.running.wait()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
