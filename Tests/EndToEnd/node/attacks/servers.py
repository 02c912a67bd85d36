"""What attacks want to reach: servers outside every workload, which note all that arrives."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from casa_runtime import free_port


def own_network() -> str:
    """The first three bytes of 127.x.y.0/24 networks; no other test process uses them."""
    number = os.getpid() % 0x4000
    return f"127.{64 + (number >> 8)}.{number & 0xFF}"


@dataclass
class Echo:
    """Answers TCP and UDP alike with what it got, on one port of several addresses."""

    addresses: list[str]
    port: int = field(default_factory=free_port)
    arrived: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Echo]:
        self._selector = selectors.DefaultSelector()
        for address in self.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                server = socket.socket(family, kind)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((address, self.port))
                if kind == socket.SOCK_STREAM:
                    # So that a request in a SYN would be read.
                    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
                    server.listen()
                self._selector.register(server, selectors.EVENT_READ, kind)
        stop, self._stop = socket.socketpair()
        self._selector.register(stop, selectors.EVENT_READ, None)
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            self._stop.close()
            thread.join()
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                server = key.fileobj
                assert isinstance(server, socket.socket)
                if key.data is None:
                    return
                if key.data == socket.SOCK_DGRAM:
                    data, peer = server.recvfrom(65536)
                    self.arrived.append(data)
                    server.sendto(data, peer)
                elif key.data == socket.SOCK_STREAM:
                    connection, _ = server.accept()
                    self.arrived.append(b"")
                    self.connections.append(connection)
                    self._selector.register(connection, selectors.EVENT_READ, 0)
                else:
                    self._answer(server)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = connection.recv(65536)
        if data:
            self.arrived.append(data)
            connection.sendall(data)
        else:
            self._selector.unregister(connection)
            self.connections.remove(connection)
            connection.close()


@dataclass
class NameServer:
    """Answers questions as the test wants; notes all that arrives."""

    address: str
    answers: Callable[[bytes], list[bytes]] = lambda asked: []
    port: int = 53
    asked: list[bytes] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[NameServer]:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, self.port))
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            thread.join()
            self.socket.close()

    def _serve(self) -> None:
        while True:
            asked, peer = self.socket.recvfrom(65536)
            if peer is None:
                return
            self.asked.append(asked)
            for message in self.answers(asked):
                self.socket.sendto(message, peer)


def make_certificate(directory: Path, *names: str) -> Path:
    """A certificate of its own for these hosts, and its key."""
    file = directory / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", f"/CN={names[0]}", "-addext"]
    command += ["subjectAltName=" + ",".join(f"DNS:{name}" for name in names), "-keyout", "-", "-out", "-"]
    file.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return file


@dataclass
class TLSServer:
    """Answers what it got under TLS, as any host it is taken for; notes the first bytes of each connection."""

    certificate: Path
    addresses: list[str]
    port: int = 443
    arrived: list[bytes] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[TLSServer]:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        servers = [
            socket.create_server(
                (address, self.port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=64
            )
            for address in self.addresses
        ]
        threads = [threading.Thread(target=self._accept, args=(server,)) for server in servers]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for server in servers:
                server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for server in servers:
                server.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        # A connection may end in any way.
        with contextlib.suppress(OSError), connection:
            first = connection.recv(65536, socket.MSG_PEEK)
            if not first:
                return
            self.arrived.append(first)
            with self._context.wrap_socket(connection, server_side=True) as session:
                while data := session.recv(65536):
                    session.sendall(data)
