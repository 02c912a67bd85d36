"""`make bench`: CASA's hot paths against baselines on the same machine in the same run.

Prints a table and writes `Benchmarks/results/latest.json`. CASA_BENCH_SECONDS (default 5) is how long each of
CASA_BENCH_ROUNDS (default 3) rounds of a measurement lasts; the median round counts. Arguments choose parts of it, whose
results then replace those of their names: `token-service`, `ingress`, `mcp-call`, `memory`, `encoder`, `kernel`,
`storage`, `traces`, `webhook`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import data_plane
import embedding
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


PARTS: dict[str, list[Callable[[Stack, Path, int], Iterator[Result]]]] = {
    "token-service": [token_service.results],
    "ingress": [data_plane.ingress_results],
    "mcp-call": [data_plane.call_results],
    "encoder": [embedding.part_results],
    "kernel": [kernel.kernel_results],
    "storage": [storage.part_results],
    "traces": [traces.part_results],
    "webhook": [webhook.part_results],
    "memory": [resting_results, memory.sidecar_results, memory.session_results],
}


def store(results: list[Result], *, replacing: bool) -> None:
    """Writes the results; those of a part of the benchmarks among the others' that are there."""
    kept = {result.name: result.json() for result in results}
    if replacing and RESULTS.exists():
        kept = {**{each["name"]: each for each in json.loads(RESULTS.read_text())}, **kept}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(list(kept.values()), indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


def main(parts: list[str]) -> int:
    if unknown := set(parts) - PARTS.keys():
        print(f"expected some of {', '.join(PARTS)}; got {', '.join(unknown)}", file=sys.stderr)
        return 64
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="casa-bench-") as name:
        folder = Path(name)
        (upstream,) = free_ports(1)
        server = native.start_server(upstream)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{upstream}/"), "the server answers")
            with running_stack(folder / "stack", upstream, accepted_adapters()) as stack:
                for part in parts or PARTS:
                    for measurement in PARTS[part]:
                        for result in measurement(stack, folder, upstream):
                            print(result.line(), flush=True)
                            results.append(result)
        finally:
            server.kill()
            server.wait()
    store(results, replacing=bool(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
