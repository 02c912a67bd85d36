"""Envoys to compare with: alone, and with its own check of JWTs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions."


def locate() -> str:
    """The Envoy of the PyPI wheel."""
    return str(next(Path(sys.prefix).glob("lib/*/site-packages/envoy/_bin/envoy")))


def router() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": TYPE + "filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }


def jwt_filter(jwks: Json, issuer: str, cache: bool) -> Json:
    """Envoy's `jwt_authn`, with the runtime's keys at hand, and with its cache of verified tokens or without."""
    provider: Json = {
        "issuer": issuer,
        "local_jwks": {"inline_string": json.dumps(jwks)},
        "forward": True,
    }
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000, "jwt_max_token_size": 8192}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": TYPE + "filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"runtime": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "runtime"}}],
        },
    }


def bootstrap(port: int, filters: list[Json], upstream: int) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    manager = {
        "@type": TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [*filters, router()],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def start(folder: Path, name: str, configuration: Json) -> subprocess.Popen[bytes]:
    """Starts an Envoy with one worker, as the sidecars have."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(configuration))
    command = [locate(), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id", "--disable-hot-restart"]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen([*command, "--log-level", "warning"], stdout=log, stderr=log)


def plain(port: int, upstream: int) -> Json:
    """Envoy alone."""
    return bootstrap(port, [], upstream)


def with_jwt(port: int, upstream: int, jwks: Json, issuer: str, *, cache: bool) -> Json:
    """Envoy with its own check of JWTs."""
    return bootstrap(port, [jwt_filter(jwks, issuer, cache)], upstream)

