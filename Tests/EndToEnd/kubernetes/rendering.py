"""What `casa controller render` prints for the objects in bank.yaml."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from casa_runtime import binary

Object = dict[str, Any]

BANK = Path(__file__).parent / "bank.yaml"


def render(*arguments: str, file: Path = BANK) -> subprocess.CompletedProcess[str]:
    command = [str(binary()), "controller", "render", "-f", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@cache
def _lines(mode: str) -> str:
    done = render("--mode", mode, "--format", "json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(mode: str) -> list[Object]:
    return [json.loads(line) for line in _lines(mode).splitlines()]


def one(mode: str, kind: str, name: str) -> Object:
    (found,) = [o for o in objects(mode) if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def workload_file(workload: str, client_id: str, mode: str = "istio") -> Object:
    """The workload.yaml of an app, which is JSON."""
    done = render("--mode", mode, "--workload", workload, "--client-id", client_id)
    assert done.returncode == 0, done.stderr
    read: Object = json.loads(done.stdout)
    return read
