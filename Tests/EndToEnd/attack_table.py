"""Marks attacks, sees to it that each says what refused it, and prints and writes what came of all.

    pytest Tests/EndToEnd/attacks --attack-table

prints a table and writes `.build/attacks.json`. The run fails unless every attack was refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

import pytest
from casa_runtime import ROOT

RESULTS = ROOT / ".build/attacks.json"
LAYERS = ("kernel", "proxy", "runtime", "cluster")
"""What can refuse: the three layers, and before them a cluster's admission and controller."""
AT = {
    "runtime": "it is mounted at the runtime's API, before which no sidecar stands",
    "proxy": "it is mounted at a sidecar, before anybody asks the runtime",
}
"""Why another layer is not asked about an attack that is mounted at this one."""


@dataclass
class Mounted:
    """One attack as it went."""

    attack: int
    case: str
    adapter: str
    layer: str
    refused: bool
    evidence: str
    outcome: str = ""
    """With one layer alone: `stopped`, `passed`, `elsewhere` for what this layer is not asked about, or `unclear`."""


MOUNTED = pytest.StashKey[dict[str, Mounted]]()


class Outcome(Protocol):
    """What says what refused an attack."""

    layer: str
    evidence: str


ATTEMPT = pytest.StashKey[Outcome]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--attack-table", action="store_true", help="print the attacks as a table, write attacks.json")
    parser.addoption("--attack-numbers", help="mount only these attacks: 11-26,32")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "attack(number, case, layer=None, at=None): mounts one case of an attack of the list; `layer` refuses it, and"
        " `at` is the one layer that it can be mounted at",
    )
    config.stash[MOUNTED] = {}


@dataclass
class Asserted:
    """What a test asserts that has no evidence to tell."""

    layer: str
    evidence: str = "refused, and nothing arrived"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not (wanted := config.getoption("--attack-numbers", default=None)):
        return
    numbers: set[int] = set()
    for part in wanted.split(","):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    kept = [item for item in items if (marker := item.get_closest_marker("attack")) and marker.args[0] in numbers]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """With one layer alone, keeps out what can only be mounted at another."""
    marker, alone = item.get_closest_marker("attack"), os.environ.get("CASA_LAYER")
    at = marker.kwargs.get("at") if marker else None
    if marker and alone and at not in (None, alone):
        note_elsewhere(item, marker, alone, AT[at])
        pytest.skip(AT[at])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("attack")
    if marker is not None:
        if alone := os.environ.get("CASA_LAYER"):
            note_alone(item, marker, call, report, alone)
        else:
            note(item, marker, report)
    return report


def note_elsewhere(item: pytest.Item, marker: pytest.Mark, layer: str, why: str) -> None:
    number, case = marker.args
    adapter = os.environ.get("CASA_ADAPTER", "")
    item.config.stash[MOUNTED][item.nodeid] = Mounted(number, case, adapter, layer, False, why, "elsewhere")


def note_alone(
    item: pytest.Item, marker: pytest.Mark, call: pytest.CallInfo[None], report: pytest.TestReport, layer: str
) -> None:
    """Keeps how an attack went that one layer alone had to stop. That it was not stopped is a finding, no failure."""
    if report.skipped or (report.passed and report.when != "call"):
        return
    if call.excinfo is not None and call.excinfo.typename == "NotThisLayers":
        note_elsewhere(item, marker, layer, str(call.excinfo.value))
        return
    number, case = marker.args
    attempt = item.stash.get(ATTEMPT, None)
    outcome, evidence = "unclear", "it could not be mounted"
    if report.passed:
        outcome, evidence = "stopped", attempt.evidence if attempt and attempt.evidence else Asserted(layer).evidence
    elif call.excinfo is not None:
        outcome = "passed" if call.excinfo.typename == "AttackPassed" else "unclear"
        evidence = f"{call.excinfo.typename}: {call.excinfo.value}".splitlines()[0][:200]
    item.config.stash[MOUNTED][item.nodeid] = Mounted(
        number, case, os.environ.get("CASA_ADAPTER", ""), layer, outcome == "stopped", evidence, outcome
    )


def note(item: pytest.Item, marker: pytest.Mark, report: pytest.TestReport) -> None:
    """Keeps how the attack went; a failure in any phase counts as an attack that was not refused."""
    # What is skipped, loudly, was not mounted.
    if report.skipped:
        return
    number, case = marker.args
    adapter = os.environ.get("CASA_ADAPTER", "")
    # A test of packets says by its marker what refuses; the others by what they assert with.
    asserted = marker.kwargs.get("layer")
    attempt = Asserted(asserted) if asserted else item.stash.get(ATTEMPT, None)
    mounted = item.config.stash[MOUNTED]
    if report.passed and report.when == "call" and (attempt is None or attempt.layer not in LAYERS):
        report.outcome = "failed"
        report.longrepr = "the test did not say what refused the attack"
    if report.passed and report.when == "call" and attempt is not None:
        mounted[item.nodeid] = Mounted(number, case, adapter, attempt.layer, True, attempt.evidence)
    elif not report.passed:
        why = str(report.longrepr).strip().splitlines()[-1:] or ["?"]
        mounted[item.nodeid] = Mounted(number, case, adapter, "", False, f"{report.outcome}: {why[0]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--attack-table", default=False):
        return
    rows = sorted(config.stash[MOUNTED].values(), key=lambda row: row.attack)
    results = Path(os.environ.get("CASA_ATTACK_RESULTS", RESULTS))
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    terminalreporter.section("attacks")
    width = max((len(row.case) for row in rows), default=0)
    for row in rows:
        verdict: Literal["refused", "PASSED"] = "refused" if row.refused else "PASSED"
        terminalreporter.line(f"{row.attack:>3}  {row.case:<{width}}  {verdict:<8}{row.layer:<8}{row.evidence}")
    refused = sum(row.refused for row in rows)
    all_refused = refused == len(rows)
    terminalreporter.line(f"\n{len(rows)} mounted, {refused} refused", green=all_refused, red=not all_refused)


def pytest_sessionfinish(session: pytest.Session) -> None:
    mounted = session.config.stash[MOUNTED].values()
    if session.config.getoption("--attack-table", default=False) and not (mounted and all(m.refused for m in mounted)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
