"""A PostgreSQL server of the tests' own, in a directory, reached over a socket there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from casa_runtime import wait_until

# PostgreSQL refuses to run as root.
AS_SERVER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []


def program(name: str) -> str:
    """Debian keeps each version's programs in a directory of its own."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    path = os.pathsep.join([str(folder) for folder in reversed(folders)] + [os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    assert found, f"PostgreSQL is not installed: {name} was not found; run scripts/setup test"
    return found


@dataclass
class PostgresServer:
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres:///casa?host={self.directory}&user=casa"

    def initialize(self) -> None:
        data = str(self.directory / "data")
        command = [*AS_SERVER, program("initdb"), "-D", data, "-U", "casa", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.directory)
        self.start()
        self.psql("postgres", "CREATE DATABASE casa")

    def start(self) -> None:
        data = str(self.directory / "data")
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*AS_SERVER, program("postgres"), "-D", data, "-k", str(self.directory), "-h", ""],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
            )  # fmt: skip
        wait_until(self.answers, "PostgreSQL answers", 30)

    def answers(self) -> bool:
        command = [program("pg_isready"), "-q", "-h", str(self.directory)]
        return subprocess.run(command, check=False).returncode == 0

    def psql(self, database: str, sql: str) -> str:
        command = [program("psql"), "-XAtq", "-h", str(self.directory), "-U", "casa", "-d", database, "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def kill(self) -> None:
        """Ends all its processes at once, as when the machine loses its power."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    # A socket's path may not be long.
    directory = Path(tempfile.mkdtemp(prefix="casa-postgres-", dir="/tmp"))
    try:
        if AS_SERVER:
            shutil.chown(directory, "postgres", "postgres")
        server = PostgresServer(directory)
        try:
            server.initialize()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)
