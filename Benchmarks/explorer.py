"""The Explorer's first page in a real browser that has nothing of it yet, by a runtime with 100,000 events.

Its baseline is the same browser on a page that has nothing to show. Runs alone too.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import building
import traces
from stack import ROOT

sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
from casa_runtime import Runtime

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from results import Result

EVENTS = "100000"
VISITS = 40
PAGES = {"dashboard": "/explorer", "sessions": "/explorer/sessions", "nothing": "/healthz"}


def visit(browser: Browser, address: str) -> tuple[float, int]:
    """Milliseconds until all was loaded, and bytes that came."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        answer = page.goto(address, wait_until="load")
        if answer is None or answer.status != 200:
            raise RuntimeError(f"{address} answered {answer and answer.status}")
        took: float = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        return took, sum(sizes)
    finally:
        context.close()


def results(folder: Path) -> Iterator[Result]:
    from playwright.sync_api import sync_playwright
    from results import Result

    building.build("TimedTraces")
    subprocess.run(
        [traces.OURS, "sqlite", str(folder), EVENTS, "fill", "ingest", "project"], check=True, stdout=subprocess.DEVNULL
    )
    runtime = Runtime(folder, ["--open-traces"]).start()
    times: dict[str, list[float]] = {}
    size: dict[str, int] = {}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for _ in range(VISITS):
                for name, path in PAGES.items():
                    took, size[name] = visit(browser, runtime.url + path)
                    times.setdefault(name, []).append(took)
            browser.close()
    finally:
        runtime.stop()
    median = {name: statistics.median(each) for name, each in times.items()}
    for name in ("dashboard", "sessions"):
        slow = statistics.quantiles(times[name], n=100, method="inclusive")[98]
        yield Result(
            f"explorer_{name}", median[name], "ms until it is loaded", "a page with nothing", median["nothing"],
            p50_ms=median[name], p99_ms=slow,
        )  # fmt: skip
        yield Result(f"explorer_{name}_size", size[name], "bytes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="casa-bench-") as name:
        for result in results(Path(name)):
            print(result.line(), flush=True)
