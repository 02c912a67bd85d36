"""Drives KubernetesProbe: the Kubernetes client on its own, told by JSON lines what to do."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import subprocess
import threading
from typing import Any

BINARY = os.environ.get("CASA_KUBERNETES_PROBE", ".build/debug/KubernetesProbe")
#: By then whatever is waited for has come; it is reached only when something is broken.
PATIENCE = 30


class Failed(Exception):
    """What the client answered instead of a result."""

    def __init__(self, error: str, message: str):
        super().__init__(f"{error}: {message}")
        self.error, self.message = error, message


class Probe:
    """One process with one client."""

    def __init__(self, kubeconfig: pathlib.Path | None, log: pathlib.Path, *arguments: str):
        given = ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [BINARY, *given, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        self._ids = 0
        self._lines: dict[int, queue.Queue] = {}
        self._lock = threading.Lock()
        assert self.process.stdout is not None
        self.first = json.loads(self.process.stdout.readline() or b"{}")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            with self._lock:
                lines = self._lines.setdefault(message["id"], queue.Queue())
            lines.put(message)

    def start(self, do: str, **command: Any) -> int:
        """Has something done that goes on; `next` reads what comes of it."""
        self._ids += 1
        with self._lock:
            self._lines[self._ids] = queue.Queue()
        self._send({"id": self._ids, "do": do, **command})
        return self._ids

    def _send(self, command: dict) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def next(self, number: int, patience: float = PATIENCE) -> dict:
        return self._lines[number].get(timeout=patience)

    def until(self, number: int, **expected: Any) -> list[dict]:
        """All that came, up to what has the `expected` members."""
        came = []
        while True:
            came.append(self.next(number))
            if all(came[-1].get(name) == value for name, value in expected.items()):
                return came

    def pending(self, number: int) -> list[dict]:
        """What came and was not read."""
        came = []
        while True:
            try:
                came.append(self._lines[number].get_nowait())
            except queue.Empty:
                return came

    def do(self, do: str, **command: Any) -> Any:
        message = self.next(self.start(do, **command))
        if "error" in message:
            raise Failed(message["error"], message["message"])
        return message["result"]

    def cancel(self, number: int) -> None:
        self._send({"do": "cancel", "of": number})

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._log.close()

    def kill(self) -> None:
        """As when its machine is gone."""
        self.process.kill()
        self.process.wait()
