"""Marks attacks, sees to it that each says what refused it, and prints and writes what came of all.

    pytest Tests/EndToEnd/attacks --attack-table

prints a table and writes `.build/attacks.json`. The run fails unless every attack was refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import pytest
from attempts import Attempt, Revocation
from casa_runtime import ROOT, free_port
from casa_stack import Endpoints, Stack
from llm_front import LLMFront

RESULTS = ROOT / ".build/attacks.json"
LAYERS = ("kernel", "proxy", "runtime")


@dataclass
class Mounted:
    """One attack as it went."""

    attack: int
    case: str
    adapter: str
    layer: str
    refused: bool
    evidence: str


MOUNTED = pytest.StashKey[dict[str, Mounted]]()
ATTEMPT = pytest.StashKey[Attempt]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--attack-table", action="store_true", help="print the attacks as a table, write attacks.json")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack(number, case): mounts one case of an attack of the list")
    config.stash[MOUNTED] = {}


@pytest.fixture(scope="session")
def llm_front() -> Iterator[LLMFront]:
    """What stands before the stack's LLM."""
    front = LLMFront(free_port(), free_port())
    yield front
    front.close()


@pytest.fixture(scope="session")
def stack(llm_front: LLMFront, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The banking example behind real Envoys, with something before its LLM that can answer badly."""
    running = Stack(
        tmp_path_factory.mktemp("stack"),
        adapter=os.environ.get("CASA_ADAPTER"),
        llm_port=llm_front.upstream,
        endpoints=Endpoints(llm_app=llm_front.port),
    )
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session", autouse=True)
def revocation(stack: Stack) -> Iterator[Revocation]:
    """A T1 that was revoked at the very start, and since when its children are refused."""
    watched = Revocation(stack)
    watched.begin()
    yield watched
    watched.end()


@pytest.fixture
def attempt(request: pytest.FixtureRequest, stack: Stack) -> Attempt:
    """What a test of an attack asserts with."""
    made = Attempt(stack)
    request.node.stash[ATTEMPT] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("attack")
    if marker is not None:
        note(item, marker, report)
    return report


def note(item: pytest.Item, marker: pytest.Mark, report: pytest.TestReport) -> None:
    """Keeps how the attack went; a failure in any phase counts as an attack that was not refused."""
    number, case = marker.args
    adapter = os.environ.get("CASA_ADAPTER", "")
    attempt = item.stash.get(ATTEMPT, None)
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
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
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
