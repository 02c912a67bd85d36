"""The controller from nothing: many systems against the tests' API server and a real runtime.

By itself, without the rest of the benchmarks: CASA_BINARY=… python Benchmarks/controller.py [SYSTEMS [APPS]]

The API server is the tests' own, in Python, on the same cores: it answers some 1,500 writes a second and is most of what
is measured. Compared with the same writes by a client that only writes, as fast as that server takes them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from stack import ROOT

sys.path[:0] = [str(ROOT / "Tests/EndToEnd"), str(ROOT / "Tests/EndToEnd/kubernetes")]
from casa_controller import Controller, app, phase, system, writes  # noqa: E402
from casa_runtime import Runtime, wait_until  # noqa: E402
from fake_api import FakeAPI  # noqa: E402

DEADLINE = 600.0


def namespace_of(number: int) -> str:
    return f"team-{number % 50}"


def declared(systems: int, apps: int) -> list[dict[str, Any]]:
    return [
        system(
            f"system-{number}",
            namespace_of(number),
            [app(f"s{number}-a{each}", "agent" if each % 2 else "mcp_server") for each in range(apps)],
        )
        for number in range(systems)
    ]


def cluster(systems: int, apps: int) -> FakeAPI:
    api = FakeAPI(crds=ROOT / "deploy/crds", history=400_000).__enter__()
    for name in sorted({namespace_of(number) for number in range(systems)}):
        api.namespace(name)
    for made in declared(systems, apps):
        api.create("multiagentsystems", made)
    return api


def plain_writes(api: FakeAPI, made: dict[str, list[dict[str, Any]]], connections: int = 16) -> float:
    """Seconds that the same objects take when they are only written."""
    paths = {
        "secrets": "/api/v1", "networkpolicies": "/apis/networking.k8s.io/v1",
        "ciliumnetworkpolicies": "/apis/cilium.io/v2",
    }  # fmt: skip
    waiting = [
        (f"{api.url}{paths[plural]}/namespaces/{one['metadata']['namespace']}/{plural}", one)
        for plural, objects in made.items()
        for one in objects
    ]

    async def write(session: aiohttp.ClientSession) -> None:
        while waiting:
            url, one = waiting.pop()
            metadata = {key: one["metadata"][key] for key in ("name", "namespace", "labels")}
            body = {key: value for key, value in one.items() if key != "metadata"} | {"metadata": metadata}
            async with session.post(url, json=body) as answer:
                assert answer.status == 201, await answer.text()

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(write(session) for _ in range(connections)))

    began = time.monotonic()
    asyncio.run(run())
    return time.monotonic() - began


def measure(folder: Path, systems: int, apps: int) -> dict[str, Any]:
    runtime = Runtime(folder / "data").start()
    api = cluster(systems, apps)
    controller = Controller(api, runtime, folder, arguments=["--resync-seconds", "60", "--concurrency", "32"])
    try:
        began = time.monotonic()
        controller.start()

        def are_active() -> bool:
            time.sleep(0.5)
            return all(phase(one) == "Active" for one in api.all("multiagentsystems"))

        wait_until(are_active, "all systems are in force", DEADLINE)
        seconds = time.monotonic() - began
        settled = writes(api)
        runs = controller.reconciliations()
        wait_until(lambda: controller.reconciliations() > runs + systems, "all was looked at again", DEADLINE)
        idle = writes(api) - settled
        memory = next(
            int(line.split()[1])
            for line in Path(f"/proc/{controller.process.pid}/status").read_text().splitlines()  # type: ignore[union-attr]
            if line.startswith("VmHWM")
        )
        plurals = ("secrets", "networkpolicies", "ciliumnetworkpolicies")
        made = {plural: api.all(plural) for plural in plurals}
    finally:
        controller.kill()
        runtime.stop()
        api.__exit__(None, None, None)
    empty = FakeAPI(history=400_000).__enter__()
    try:
        for number in range(50):
            empty.namespace(f"team-{number}")
        plain = plain_writes(empty, made)
    finally:
        empty.__exit__(None, None, None)
    return {
        "systems": systems, "apps": systems * apps, "seconds": round(seconds, 1), "writes": settled,
        "writes_at_rest": idle, "plain_writes_seconds": round(plain, 1),
        "peak_memory_mb": round(memory / 1024, 1),
    }  # fmt: skip


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="casa-controller-") as name:
        print(measure(Path(name), *(numbers + [1000, 10][len(numbers) :])), flush=True)
