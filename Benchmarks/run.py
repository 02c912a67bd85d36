"""`make bench`: CASA's hot paths against baselines on the same machine in the same run.

Prints a table and writes `Benchmarks/results/latest.json`. CASA_BENCH_SECONDS (default 5) is how long each of
CASA_BENCH_ROUNDS (default 3) rounds of a measurement lasts; the median round counts. Arguments choose parts of it, whose
results then replace those of their names: `token-service`, `ingress`, `mcp-call`, `memory`, `encoder`, `kernel`,
`storage`, `traces`, `explorer`, `webhook`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import data_plane
import embedding
import explorer
import kernel
import load
import memory
import native
import storage
import token_service
import traces
import webhook
from results import Result
from stack import ROOT, Stack, accepted_adapters, answers, free_ports, running_stack, wait_until

RESULTS = ROOT / "Benchmarks/results/latest.json"


def resting_results(stack: Stack, folder: Path, upstream: int) -> Iterator[Result]:
    for part in ("runtime", "authorize"):
        yield Result(f"{part}_resident_memory", load.resident_mb(stack.pid(f" {part} ")), "MB after the load")
    yield Result("up_until_ready", stack.start_seconds * 1000, "ms until all parts answer")


# Of a system that runs, in front of a server.
PARTS: dict[str, list[Callable[[Stack, Path, int], Iterator[Result]]]] = {
    "token-service": [token_service.results],
    "ingress": [data_plane.ingress_results],
    "mcp-call": [data_plane.call_results],
    "memory": [resting_results, memory.sidecar_results, memory.session_results],
}
# By themselves, given an empty folder.
ALONE: dict[str, Callable[[Path], Iterator[Result]]] = {
    "encoder": lambda _: embedding.results(),
    "kernel": kernel.results,
    "storage": lambda _: storage.results(),
    "traces": lambda _: traces.results(),
    "explorer": explorer.results,
    "webhook": webhook.results,
}


def store(results: list[Result], *, replacing: bool) -> None:
    """Writes the results; those of a part of the benchmarks among the others' that are there."""
    kept = {result.name: result.json() for result in results}
    if replacing and RESULTS.exists():
        kept = {**{each["name"]: each for each in json.loads(RESULTS.read_text())}, **kept}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(list(kept.values()), indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


def of_a_system(parts: list[str], folder: Path) -> Iterator[Result]:
    (upstream,) = free_ports(1)
    server = native.start_server(upstream)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{upstream}/"), "the server answers")
        with running_stack(folder / "stack", upstream, accepted_adapters()) as stack:
            for part in parts:
                for measurement in PARTS[part]:
                    yield from measurement(stack, folder, upstream)
    finally:
        server.kill()
        server.wait()


def all_results(parts: list[str], folder: Path) -> Iterator[Result]:
    if with_system := [part for part in parts if part in PARTS]:
        yield from of_a_system(with_system, folder)
    for part in parts:
        if part in ALONE:
            own = folder / part
            own.mkdir()
            yield from ALONE[part](own)


def main(parts: list[str]) -> int:
    known = [*PARTS, *ALONE]
    if unknown := set(parts) - set(known):
        print(f"expected some of {', '.join(known)}; got {', '.join(unknown)}", file=sys.stderr)
        return 64
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="casa-bench-") as name:
        for result in all_results(parts or known, Path(name)):
            print(result.line(), flush=True)
            results.append(result)
    store(results, replacing=bool(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
