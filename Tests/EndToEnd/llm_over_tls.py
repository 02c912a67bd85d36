"""An LLM's host that speaks TLS, and the certificates for it; both can be changed from one request to the next."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from connections import Connections
from llm_front import Behaviour

PATIENCE = 20.0
"""So many seconds a peer may say nothing."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key, and those that a server sends after it."""

    own: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return self.own.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> bytes:
        return b"".join(each.pem for each in (self, *self.above))

    def issue(self, *names: str, **more: Any) -> Certificate:
        """See `issue`."""
        return issue(*names, issuer=self, **more)


def issue(
    *names: str,
    issuer: Certificate | None = None,
    authority: bool = False,
    common_name: str = "an LLM's host",
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    sends_issuer: bool = False,
) -> Certificate:
    """A certificate for these DNS names, of its own issue when it has no issuer.

    Its time begins and ends so far from now.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.own.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signed = made.sign(issuer.key if issuer else key, hashes.SHA256())
    return Certificate(signed, key, (issuer, *issuer.above) if issuer and sends_issuer else ())


@dataclass
class Connection:
    """What one connection to the LLM's host was."""

    sent: bytearray = field(default_factory=bytearray)
    """All that the peer sent, as the network saw it."""
    asked_for: str | None = None
    """The host that the peer named before it got a certificate (SNI, RFC 6066 section 3)."""
    version: str | None = None
    """Of TLS; None as long as none was agreed on."""
    protocol: str | None = None
    """Which ALPN (RFC 7301) chose."""
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Shown:
    """How the host speaks TLS."""

    certificate: Certificate
    oldest: ssl.TLSVersion
    newest: ssl.TLSVersion


@dataclass(frozen=True)
class Request:
    """What the LLM itself was asked."""

    line: str
    fields: dict[str, list[str]]
    body: bytes


class Stream(io.RawIOBase):
    """Bytes over TLS, or as they are without it, every one of the peer's written down as it came."""

    def __init__(self, raw: socket.socket, seen: Connection, context: ssl.SSLContext | None) -> None:
        self._raw, self._seen, self._tls = raw, seen, None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        if context is not None:
            tls = context.wrap_bio(self._in, self._out, server_side=True)
            self._run(tls.do_handshake)
            seen.version, seen.protocol = tls.version(), tls.selected_alpn_protocol()
            self._tls = tls

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._run(lambda: self._tls.read(len(buffer))) if self._tls else self._receive(len(buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            data = b""
        buffer[: len(data)] = data
        return len(data)

    def sendall(self, data: bytes) -> None:
        if self._tls is None:
            self._raw.sendall(data)
            return
        self._tls.write(data)
        self._flush()

    def end(self) -> None:
        """Says that nothing more will come."""
        if self._tls is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # The peer's own end has not come yet; nothing depends on it.
            self._flush()

    # What a request handler asks of a socket.

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def _receive(self, size: int = 65536) -> bytes:
        data = self._raw.recv(size)
        self._seen.sent += data
        return data

    def _flush(self) -> None:
        if waiting := self._out.read():
            self._raw.sendall(waiting)

    def _run(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                if data := self._receive():
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            except ssl.SSLError:
                self._flush()  # The alert that says why.
                raise
            self._flush()
            return done


class LLMOverTLS(Connections):
    """Listens until it is closed. A connection is good for one request, so that a change holds from the next on."""

    def __init__(self, port: int, behaviour: Behaviour) -> None:
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self._behaviour = behaviour
        self._shown: Shown | None = None
        self._settings = threading.Lock()
        super().__init__(port, backlog=64)

    def show(
        self,
        certificate: Certificate | None,
        oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        """Shows this certificate, or speaks no TLS without one. What came before is forgotten."""
        with self._settings:
            self._shown = None if certificate is None else Shown(certificate, oldest, newest)
            self.connections, self.requests = [], []

    @contextmanager
    def answering(self, behaviour: Behaviour) -> Iterator[None]:
        before, self._behaviour = self._behaviour, behaviour
        try:
            yield
        finally:
            self._behaviour = before

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen = Connection()
        with self._settings:
            shown, requests = self._shown, self.requests
            self.connections.append(seen)
        with connection:
            try:
                # A context of its own: none resumes the session of another, for which no certificate is shown.
                stream = Stream(connection, seen, context_of(shown, seen) if shown else None)
                handler_of(requests, self._behaviour)(stream, ("", 0), None)  # type: ignore[arg-type]
                stream.end()
            except OSError:
                pass  # The peer did not like what it saw, and left; `seen` has what it had said by then.
        seen.ended.set()


def context_of(shown: Shown, seen: Connection) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = shown.oldest, shown.newest
    context.sni_callback = lambda _, name, __: setattr(seen, "asked_for", name)
    if shown.newest < ssl.TLSVersion.TLSv1_2:
        # OpenSSL has these only where all is allowed.
        context.set_ciphers("ALL:@SECLEVEL=0")
    # Like the providers' hosts: whoever offers HTTP/2 gets it.
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TemporaryDirectory() as folder:
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_bytes(shown.certificate.chain)
        key.write_bytes(shown.certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context.load_cert_chain(chain, key)
    return context


def handler_of(requests: list[Request], behaviour: Behaviour) -> type[BaseHTTPRequestHandler]:
    """What reads one request and has it answered."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = None

        def handle(self) -> None:
            if not self.rfile.peek(1)[:1].isalpha():  # type: ignore[attr-defined]
                # TLS that nobody here speaks. Its first bytes need not hold the end of a line to wait for.
                self.wfile.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            self.handle_one_request()

        def do_POST(self) -> None:
            fields: dict[str, list[str]] = {}
            for name, value in self.headers.items():
                fields.setdefault(name.lower(), []).append(value)
            body = self.rfile.read(int(self.headers["content-length"]))
            requests.append(Request(self.requestline, fields, body))
            behaviour(self)

        def end_headers(self) -> None:
            self.send_header("connection", "close")
            super().end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler
