"""Lines of JSON over a socket, between processes that know one secret; nobody else is heard.

On one machine the socket lies in a folder of ours; between machines it is TCP, and only the proof that both ends know
the secret goes over it, never the secret.
"""

import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Message = dict[str, Any]

PROVE_S = 10.0  # for both ends to prove themselves
LONGEST_PROOF = 1000  # bytes; until then nobody is believed
ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # a machine without power is noticed in 30 s


class Line:
    """One end."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._file = connected, connected.makefile("rwb")
        self._sending = threading.Lock()
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in ALIVE.items():
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    @property
    def ends(self) -> tuple[str, str]:
        """Addresses without ports: ours and theirs."""
        return str(self._socket.getsockname()[0]), str(self._socket.getpeername()[0])

    def send(self, message: Message) -> None:
        """Raises OSError where the other end is gone."""
        with self._sending:
            self._file.write(json.dumps(message).encode() + b"\n")
            self._file.flush()

    def receive(self, most: int = -1) -> Message | None:
        """None where the other end is gone."""
        try:
            line = self._file.readline(most)
            message = json.loads(line) if line else None
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()

    def prove(self, secret: str, calls: bool) -> bool:
        """Whether the other end knows the secret too. calls: this end began the talk."""
        self._socket.settimeout(PROVE_S)
        mine = secrets.token_hex(16)
        try:
            self.send({"nonce": mine})
            theirs = str((self.receive(LONGEST_PROOF) or {})["nonce"])
            nonces = f"{mine} {theirs}" if calls else f"{theirs} {mine}"
            if calls:
                self.send({"proof": _proof(secret, "calls", nonces)})
            told = str((self.receive(LONGEST_PROOF) or {})["proof"])
            known = hmac.compare_digest(told, _proof(secret, "answers" if calls else "calls", nonces))
            if known and not calls:
                self.send({"proof": _proof(secret, "answers", nonces)})
        except (OSError, KeyError):
            return False
        self._socket.settimeout(None)
        return known


def _proof(secret: str, who: str, nonces: str) -> str:
    return hmac.new(secret.encode(), f"{who} {nonces}".encode(), hashlib.sha256).hexdigest()


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128  # all ranks of a training call at once


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


@contextmanager
def listening(secret: str, talk: Callable[[Line], None], everywhere: bool = False) -> Iterator[str]:
    """Gives where we listen: a path, or the port where that is everywhere. `talk` has a thread for each that calls."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line = Line(self.request)
            with contextlib.suppress(OSError, ValueError):
                if line.prove(secret, calls=False):
                    talk(line)
            line.close()

    with tempfile.TemporaryDirectory(prefix="moksori-") as folder:
        path = str(Path(folder) / "talk")
        server: _TcpServer | _UnixServer = _TcpServer(("", 0), Talk) if everywhere else _UnixServer(path, Talk)
        with server:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
            yield str(server.socket.getsockname()[1]) if everywhere else path
            server.shutdown()


def call(address: str, secret: str) -> Line:
    """address: a path, or host:port. Raises OSError where nobody answers, or somebody who does not know the secret."""
    if address.startswith("/"):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(address)
    else:
        host, _, port = address.rpartition(":")
        connected = socket.create_connection((host, int(port)), PROVE_S)
    line = Line(connected)
    if not line.prove(secret, calls=True):
        line.close()
        raise ConnectionRefusedError(f"{address}: who answers there is none of ours")
    return line
