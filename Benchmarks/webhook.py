"""The admission webhooks over HTTPS, against `GET /healthz` of the same process.

By itself, without the rest of the benchmarks: CASA_BINARY=… python Benchmarks/webhook.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import load
from load import Load, Target
from results import ROUNDS, SECONDS, Result
from stack import ROOT

sys.path[:0] = [str(ROOT / "Tests/EndToEnd"), str(ROOT / "Tests/EndToEnd/kubernetes")]
from casa_injector import Injector, answer, patched, pod, review  # noqa: E402

CONNECTIONS = 16
JSON = {"content-type": "application/json"}


def results(folder: Path) -> Iterator[Result]:
    injector = Injector(folder, ("--image", "registry.example/casa:1", "--log-level", "warning")).start()
    try:
        made = pod()
        with injector.client() as client:
            guarded = patched(made, answer(client, "/mutate", review(made)))
            assert answer(client, "/validate", review(guarded))["allowed"]
        targets = {
            "healthz": Target(f"{injector.url}/healthz"),
            "mutate": Target(f"{injector.url}/mutate", JSON, json.dumps(review(made)).encode()),
            "validate": Target(f"{injector.url}/validate", JSON, json.dumps(review(guarded)).encode()),
        }
        rounds: dict[str, list[Load]] = {name: [] for name in targets}
        for target in targets.values():
            load.run(target, seconds=1, connections=CONNECTIONS)
        for _ in range(ROUNDS):
            for name, target in targets.items():
                rounds[name].append(load.run(target, seconds=SECONDS, connections=CONNECTIONS))
        found = {name: load.median(loads) for name, loads in rounds.items()}
        for name, each in found.items():
            if each.failures:
                raise RuntimeError(f"{each.failures} of {each.requests} answers to {name} were errors")
        for name in ("mutate", "validate"):
            yield Result.of(f"webhook_{name}_vs_healthz", "reviews/s", found[name], "GET /healthz", found["healthz"])
    finally:
        injector.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="casa-webhook-") as name:
        for result in results(Path(name)):
            print(result.line(), flush=True)
