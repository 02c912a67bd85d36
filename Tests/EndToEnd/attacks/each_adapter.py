"""Mounts all attacks by the first adapter, those on the data plane by each other, and puts the tables together.

Interception is tested whole, with what are no attacks too, by every adapter.

    python Tests/EndToEnd/attacks/each_adapter.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from attack_table import RESULTS  # noqa: E402
from casa_stack import adapters  # noqa: E402

DATA_PLANE = "11-26,32,37,44,47,49"
# Where no sidecar takes part: the cluster's controller and injector, and the Explorer in a browser.
WITHOUT_SIDECARS = [str(FOLDER.parent / name) for name in ("kubernetes", "explorer")]
INTERCEPTION = str(FOLDER.parent / "interception")
# Attack 24 on a session that is really there; the folder's tests of what is no attack are not run again.
SESSIONS = [
    f"{FOLDER.parent / 'clients/test_sessions_client.py'}::{name}"
    for name in (
        "test_another_workload_can_not_use_an_mcp_session",
        "test_a_stream_is_resumed_only_in_a_session_of_one_s_own",
    )
]
PORTS = ("10000-21000", "21000-32000")
"""Of each of the runs at a time: two, since all wait for processes most of the time."""

Mounted = tuple[bool, list[dict[str, object]], str]
"""Whether all were refused, how each went, and what was printed."""


def mount(adapter: str, ports: str, *arguments: str) -> Mounted:
    what = f"{adapter or 'nobody'}{'-intercepted' if INTERCEPTION in arguments else ''}"
    results = RESULTS.with_name(f"attacks-by-{what}.json")
    results.unlink(missing_ok=True)
    own = {"CASA_ATTACK_RESULTS": str(results), "CASA_TEST_PORTS": ports, **({"CASA_ADAPTER": adapter} if adapter else {})}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-q", "--attack-table"],
        env={**os.environ, **own},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    rows = json.loads(results.read_text()) if results.exists() else []
    return done.returncode == 0 and bool(rows), rows, done.stdout


def main() -> int:
    first, *others = adapters()
    # What takes longest comes first, so that both end at about the same time.
    runs: SimpleQueue[tuple[str, list[str]]] = SimpleQueue()
    runs.put((first, [str(FOLDER), *SESSIONS]))
    for adapter in others:
        runs.put((adapter, [str(FOLDER), *SESSIONS, "--attack-numbers", DATA_PLANE]))
    for adapter in (first, *others):
        runs.put((adapter, [INTERCEPTION]))
    runs.put(("", [*WITHOUT_SIDECARS, "--attack-numbers", "39-42"]))

    def mount_in_turn(ports: str) -> list[Mounted]:
        mounted: list[Mounted] = []
        while True:
            try:
                adapter, arguments = runs.get_nowait()
            except Empty:
                return mounted
            mounted.append(mount(adapter, ports, *arguments))

    with ThreadPoolExecutor(len(PORTS)) as pool:
        mounted = [each for turn in pool.map(mount_in_turn, PORTS) for each in turn]
    for _, _, printed in mounted:
        print(printed, flush=True)
    rows = [row for _, found, _ in mounted for row in found]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    for adapter, count in Counter(row["adapter"] for row in rows).items():
        refused = sum(bool(row["refused"]) for row in rows if row["adapter"] == adapter)
        print(f"{adapter or 'without sidecars'}: {count} mounted, {refused} refused")
    return int(not all(all_refused for all_refused, _, _ in mounted))


if __name__ == "__main__":
    sys.exit(main())
