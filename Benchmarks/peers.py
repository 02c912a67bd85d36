"""Other MCP gateways, each from its PyPI package in an environment of its own, in front of one MCP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from native import Request


@dataclass(frozen=True)
class Peer:
    name: str
    label: str
    port: int
    calls: Callable[[int], list[Request]]
    """Makes so many tools/call requests, each with arguments of its own."""


@contextmanager
def running(folder: Path, upstream: int) -> Iterator[list[Peer]]:
    yield []
