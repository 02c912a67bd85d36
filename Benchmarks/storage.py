"""Durable units a second of the storage drivers, against pgbench with the same statements on the same server.

Runs alone too: `storage.py` prints it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import building

if TYPE_CHECKING:
    from results import Result

ROOT = Path(__file__).resolve().parents[1]
OURS = ROOT / ".build/release/TimedStorage"
SECONDS = 5
CALLERS = 64

# What TimedStorage commits.
SCRIPT = """\\set n random(1, 9000000000000000000)
BEGIN;
INSERT INTO tokens (jti, sha256, mas_id, user_input_id, client_id, scope, issued_at, expires_at)
  VALUES ('tok_' || :n, repeat('a', 64), 'mas_1', 'inp_1', 'app_1', 'call-tools', 1, 300001);
INSERT INTO trace_events (at, kind, mas_id, user_input_id, trace_id, app_id, payload)
  VALUES ((extract(epoch FROM now()) * 1000)::bigint, 'token_exchanged', 'mas_1', 'inp_1', 'trace', 'app_1',
  repeat('x', 600));
COMMIT;
"""


def timed(kind: str, place: str) -> tuple[float, float, float]:
    command = [str(OURS), kind, place, str(SECONDS), str(CALLERS)]
    fields = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(fields[0]), float(fields[1]), float(fields[2])


def results() -> Iterator[Result]:
    from results import Result

    sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
    from postgres_server import postgres_server, program

    building.build("TimedStorage")
    with tempfile.TemporaryDirectory(prefix="casa-bench-") as folder:
        rate, median, slow = timed("sqlite", folder + "/data")
        yield Result("storage_sqlite", rate, "durable units/s", p50_ms=median, p99_ms=slow)
    with postgres_server() as server:
        rate, median, slow = timed("postgres", server.url)
        script = server.directory / "script.sql"
        script.write_text(SCRIPT)
        host = ["-h", str(server.directory), "-U", "casa"]
        load = ["-n", "-M", "prepared", "-c", str(CALLERS), "-j", "2", "-T", str(SECONDS), "-f", str(script)]
        said = subprocess.run(
            [program("pgbench"), *host, *load, "casa"], check=True, capture_output=True, text=True
        ).stdout
        found = re.search(r"tps = ([\d.]+)", said)
        if not found:
            raise RuntimeError(f"pgbench printed something else: {said[-400:]}")
        yield Result(
            "storage_postgres_vs_pgbench", rate, "durable units/s", f"pgbench, {CALLERS} clients", float(found[1]),
            median, slow,
        )  # fmt: skip


if __name__ == "__main__":
    for result in results():
        print(result.line())
