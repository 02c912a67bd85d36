"""What the tests' own servers have in common: a listener, and a thread for each connection."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod


class Connections(ABC):
    """Listens at 127.0.0.1 until it is closed; what is made of it says what happens on a connection."""

    def __init__(self, port: int = 0, backlog: int | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=backlog)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # A thread that waits in accept keeps a closed listener open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @abstractmethod
    def _serve(self, connection: socket.socket) -> None: ...
