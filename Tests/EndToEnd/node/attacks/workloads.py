"""Workloads of one guard, each test with a fresh one, and what a test asserts about them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from casa_node import Node, Ran, errno_name
from casa_runtime import Json

ROOT_USER = 0
NOBODY = 65534

Act = Callable[[], Any]


def as_user(user: int, act: Act) -> Act:
    """The same, by a process that gave up being root for good."""

    def acting() -> Any:
        if user != ROOT_USER:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        return act()

    return acting


def outcome(act: Act) -> Any:
    """What it returned, or the name of the errno it failed with."""
    try:
        return act()
    except OSError as error:
        return errno_name(error)


def in_child(act: Act, detached: bool = False) -> Any:
    """Runs it in a child, or in a daemon whose parents have ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if detached:
                os.setsid()
                if os.fork():
                    os._exit(0)
            os.write(writing, json.dumps(outcome(act)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    return json.loads(answer) if answer else None


@dataclass
class Workload:
    node: Node
    name: str

    def run(self, act: Act, user: int = ROOT_USER) -> Ran:
        return self.node.run(self.name, as_user(user, act))

    @contextlib.contextmanager
    def talking(self, talk: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
        """Runs `talk` in the workload; both ends of a channel of messages, one for it and one for the test."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            try:
                ours.close()
                self.node.enter(self.name)
                talk(theirs)
            except BaseException as error:  # noqa: BLE001: the test has to learn of it
                theirs.send(f"failed: {error!r}".encode())
            finally:
                os._exit(0)
        theirs.close()
        ours.settimeout(20)
        try:
            yield ours
        finally:
            ours.close()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def refused(self, reason: str, hook: str, **fields: Any) -> Json:
        """Waits for the event that tells of it."""
        return self.node.flow(kind="flow_refused", workload=self.name, reason=reason, hook=hook, **fields)

    def refusals(self) -> list[Json]:
        return self.node.flows(kind="flow_refused", workload=self.name)


@dataclass
class Workloads:
    """All of one guard. What distinguishes them is their name alone, so no test sees another's events."""

    node: Node
    rules: Json
    count: int
    shared: Json = field(default_factory=dict)
    others: list[Json] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def policy(self, changed: dict[str, Json] | None = None) -> Json:
        """The policy, in which some workloads may have other rules."""
        different = changed or {}
        names = [f"agent-{number}" for number in range(self.count)]
        return {
            **self.shared,
            "workloads": [
                *({"name": name, "cgroup": self.node.path(name), **different.get(name, self.rules)} for name in names),
                *self.others,
            ],
        }

    def fresh(self) -> Workload:
        number = next(self._numbers)
        assert number < self.count, "there are more tests than workloads; raise `count`"
        return Workload(self.node, f"agent-{number}")

    @contextlib.contextmanager
    def running(self) -> Iterator[Workloads]:
        self.node.policy = self.policy()
        with self.node.running():
            yield self
