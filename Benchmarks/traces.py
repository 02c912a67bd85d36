"""Traces at sizes from 10^5 events on: stored, read into the projection, and asked what the Explorer asks.

CASA_BENCH_EVENTS (default 100000) has the sizes, apart by commas; CASA_BENCH_DATABASES (default sqlite,postgres) which
databases. More than a million events, in PostgreSQL alone, are a tenth of them that was played, each row ten times with
other ids; the last hundred thousand are always played. Runs alone too: `traces.py` prints it all.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import building

if TYPE_CHECKING:
    from postgres_server import PostgresServer
    from results import Result

ROOT = Path(__file__).resolve().parents[1]
OURS = ROOT / ".build/release/TimedTraces"
SIZES = [int(size) for size in os.environ.get("CASA_BENCH_EVENTS", "100000").split(",")]
DATABASES = os.environ.get("CASA_BENCH_DATABASES", "sqlite,postgres").split(",")
# More are multiplied, for a database of one writer takes long to fill.
MOST_PLAYED = 1_000_000
COPIES = 10
# What a runtime keeps for as long as the traces; the rest it deletes within the hour.
KEPT = (
    "trace_events", "user_inputs", "trace_sessions", "trace_facets", "trace_tokens", "trace_flows", "trace_sightings",
    "trace_alerts", "trace_counts", "trace_checks", "trace_edges",
)  # fmt: skip

SESSION = "'inp_01a2' || lpad((substr({0}, 9)::bigint + k * (SELECT count(*) FROM base_trace_sessions))::text, 28, '0')"
HASH = "substr({0}, 1, length({0}) - 2) || lpad(k::text, 2, '0')"
TEN_TIMES = {"sequence": "{0} * 10 + k", "number": "{0} * 10 + k", "session": "{0} * 10 + k", "user_input_id": SESSION}
# How each column differs in the tenfold rows, where it does.
CHANGES = {
    "trace_events": {**TEN_TIMES, "trace_id": HASH, "idempotency_key": "{0} || k", "at": "{0} + k * 1000"},
    "user_inputs": {"id": SESSION, "trace_id": HASH, "created_at": "{0} + k * 1000"},
    "trace_sessions": {
        **TEN_TIMES, "id": SESSION, "trace_id": HASH, "started_at": "{0} + k * 1000", "last_at": "{0} + k * 1000",
    },
    "trace_facets": {
        **TEN_TIMES,
        "facet": "CASE WHEN {0} LIKE 'decision=%' THEN " + HASH + " WHEN {0} LIKE 'word=invoice%' THEN 'word=invoice' ||"
        " (substr({0}, 13)::bigint + k * (SELECT count(*) FROM base_trace_sessions)) ELSE {0} END",
    },
    "trace_tokens": {
        **TEN_TIMES, "sha256": HASH, "parent_sha256": HASH, "issued_at": "{0} + k * 1000", "spent_at": "{0} + k * 1000",
    },
    "trace_flows": {"flow": "{0} || k", "seen_at": "{0} + k * 1000"},
    "trace_sightings": {**TEN_TIMES, "sha256": HASH, "flow": "{0} || k", "at": "{0} + k * 1000"},
    "trace_alerts": {**TEN_TIMES, "id": "{0} || k", "at": "{0} + k * 1000"},
}  # fmt: skip
# Numbers come together from different hours, since ten times the events leave more buckets with something in them.
SUMS = {
    "trace_counts": ("resolution, mas_id, {bucket}, what", ["count"], "k * 420000 / (resolution * 1000) * resolution * 1000"),
    "trace_checks": (
        "resolution, mas_id, {bucket}, check_name, answer, latency_class", ["count", "microseconds"],
        "k * 3600000 / (resolution * 1000) * resolution * 1000",
    ),
    "trace_edges": ("mas_id, {bucket}, caller, callee", ["allowed", "refused"], "0"),
}  # fmt: skip


def columns(server: PostgresServer, table: str) -> list[str]:
    found = server.psql(
        "casa",
        f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
    )
    return found.split()


def multiply(server: PostgresServer) -> None:
    """Makes ten rows of each, without their indexes, which are made anew afterwards."""
    for table in KEPT:
        server.psql("casa", f"CREATE UNLOGGED TABLE base_{table} AS SELECT * FROM {table}; TRUNCATE {table}")
    server.psql("casa", "ANALYZE")
    for table in KEPT:
        constraints = server.psql(
            "casa",
            "SELECT conname || '|' || pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE conrelid = '{table}'::regclass AND contype IN ('p', 'u')",
        ).splitlines()
        names = [line.split("|")[0] for line in constraints]
        indexes = server.psql("casa", f"SELECT indexname || '|' || indexdef FROM pg_indexes WHERE tablename = '{table}'")
        others = [line.split("|", 1) for line in indexes.splitlines() if line.split("|")[0] not in names]
        others = [[name, definition.replace(" ON ONLY ", " ON ")] for name, definition in others]
        for name in names:
            server.psql("casa", f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in others:
            server.psql("casa", f"DROP INDEX {name}")
        server.psql("casa", rows(table, columns(server, table)))
        for line in constraints:
            name, definition = line.split("|", 1)
            server.psql("casa", f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for _, definition in others:
            server.psql("casa", definition)
        server.psql("casa", f"DROP TABLE base_{table}" if table != "trace_sessions" else "SELECT 1")
        print(f"{table} ten times", file=sys.stderr, flush=True)
    server.psql("casa", "DROP TABLE base_trace_sessions")
    last = "SELECT max(sequence) FROM trace_events"
    server.psql("casa", f"SELECT setval('trace_events_sequence_seq', ({last}))")
    server.psql("casa", f"UPDATE trace_cursors SET sequence = ({last})")
    # As autovacuum and the checkpoints would have done while they came; what was copied at once is not still being
    # written out while something else is measured.
    server.psql("casa", "VACUUM ANALYZE")
    server.psql("casa", "CHECKPOINT")


def rows(table: str, names: list[str]) -> str:
    copies = f"FROM base_{table}, generate_series(0, {COPIES - 1}) k"
    if table in SUMS:
        key, sums, shift = SUMS[table]
        values = ", ".join(f"sum({name})" for name in sums) + (", max(last_at)" if "last_at" in names else "")
        key = key.format(bucket=f"bucket - {shift}")
        return f"INSERT INTO {table} SELECT {key}, {values} {copies} GROUP BY {', '.join(str(n + 1) for n in range(len(names) - len(values.split('),'))))}"
    changes = CHANGES[table]
    values = ", ".join(changes[name].format(name) if name in changes else name for name in names)
    order = " ORDER BY sequence * 10 + k" if table == "trace_events" else ""
    return f"INSERT INTO {table} SELECT {values} {copies}{order}"


def played(kind: str, place: str, events: int, *steps: str) -> Iterator[tuple[str, list[float | None]]]:
    command = [str(OURS), kind, place, str(events), *steps]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            name, *numbers = line.rstrip("\n").split("\t")
            yield name, [float(number) if number else None for number in numbers]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")


def sqlite_sizes(folder: str) -> dict[str, int]:
    with sqlite3.connect(f"file:{folder}/casa.sqlite?mode=ro", uri=True) as database:
        owners = dict(database.execute("SELECT name, tbl_name FROM sqlite_master"))
        sizes: dict[str, int] = {}
        for name, size in database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
            sizes[owners.get(name, name)] = sizes.get(owners.get(name, name), 0) + size
        return sizes


def postgres_sizes(server: PostgresServer) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for line in server.psql(
        "casa",
        "SELECT relname || '|' || pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace",
    ).splitlines():
        name, size = line.split("|")
        table = "trace_events" if name.startswith("trace_events_") else name
        sizes[table] = sizes.get(table, 0) + int(size)
    return sizes


def found(
    prefix: str, events: int, lines: Iterator[tuple[str, list[float | None]]], sizes: dict[str, int] | None = None
) -> Iterator[Result]:
    from results import Result

    for name, (rate, median, p95, p99, slowest) in lines:
        print(f"{prefix}_{name}: {rate} events/s, {median}, {p95}, {p99}, {slowest} ms", file=sys.stderr, flush=True)
        if rate is not None:
            yield Result(f"{prefix}_{name}", rate, "events/s", p50_ms=median, p99_ms=p99)
        elif p95 is not None:
            yield Result(f"{prefix}_{name}", p95, "ms, 95 of 100 within", p50_ms=median, p99_ms=p99)
    if sizes:
        yield Result(f"{prefix}_disk", sum(sizes.get(name, 0) for name in KEPT) / events, "bytes an event")
        for name in KEPT:
            yield Result(f"{prefix}_disk_{name}", sizes.get(name, 0) / events, "bytes an event")


def results() -> Iterator[Result]:
    sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
    from postgres_server import postgres_server

    building.build("TimedTraces")
    for events in SIZES:
        if "sqlite" in DATABASES and events <= MOST_PLAYED:
            with tempfile.TemporaryDirectory(prefix="casa-bench-") as folder:
                lines = played("sqlite", folder, events, "fill", "ingest", "project", "query")
                yield from found(f"traces_sqlite_{events}", events, lines)
                yield from found(f"traces_sqlite_{events}", events, iter(()), sqlite_sizes(folder))
        if "postgres" in DATABASES:
            with postgres_server() as server:
                yield from postgres_results(server, events)


def postgres_results(server: PostgresServer, events: int) -> Iterator[Result]:
    prefix = f"traces_postgres_{events}"
    if events <= MOST_PLAYED:
        lines = played("postgres", server.url, events, "fill", "ingest", "project", "query")
        yield from found(prefix, events, lines)
    else:
        base = events // COPIES
        for _ in played("postgres", server.url, base, "fill", "ingest", "project"):
            pass
        multiply(server)
        yield from found(prefix, events, played("postgres", server.url, events, "ingest", "project", "query"))
    yield from found(prefix, events, iter(()), postgres_sizes(server))


if __name__ == "__main__":
    for result in results():
        print(result.line(), flush=True)
