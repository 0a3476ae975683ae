"""Lines of JSON over a socket, between processes that know one secret; nobody else is heard.

On one machine the socket lies in a folder of ours; between machines it is TCP, and only proofs that both ends know the
secret go over it, never the secret: one at the start, and one with each line, so that nobody between can add a word.
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

PROVE_S = 10.0  # for both ends to prove themselves, in all
SEAL = 64  # bytes before each line
LONGEST_PROOF = 1000  # bytes; until then nobody is believed
# a machine without power is noticed in 30 s, whether or not something was on its way
ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
NOT_OURS = (OSError, KeyError, ValueError, TypeError, RecursionError)  # what a stranger's words may raise


class Line:
    """One end. `ends`, between machines: addresses without ports, ours and theirs."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._file = connected, connected.makefile("rwb")
        self._sending = threading.Lock()
        self._key, self._sent, self._heard = b"", 0, 0  # of this talk, and how many lines went each way since
        self._who = ("", "")  # our part in it, and theirs
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in ALIVE.items():
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            self.ends = str(connected.getsockname()[0]), str(connected.getpeername()[0])

    def send(self, message: Message) -> None:
        """Raises OSError where the other end is gone."""
        with self._sending:
            text = json.dumps(message).encode()
            if self._key:
                text = self._sealed(self._who[0], self._sent, text) + text
                self._sent += 1
            try:
                self._file.write(text + b"\n")
                self._file.flush()
            except ValueError as error:  # closed, by us
                raise BrokenPipeError(str(error)) from None

    def receive(self, most: int = -1) -> Message | None:
        """None where the other end is gone, or somebody else has put in a word."""
        try:
            line = self._file.readline(most).rstrip(b"\n")
            if self._key and line:
                seal, line = line[:SEAL], line[SEAL:]
                if not hmac.compare_digest(seal, self._sealed(self._who[1], self._heard, line)):
                    return None
                self._heard += 1
            message = json.loads(line) if line else None
        except NOT_OURS:
            return None
        return message if isinstance(message, dict) else None

    def _sealed(self, who: str, number: int, text: bytes) -> bytes:
        return hmac.new(self._key, f"{who} {number} ".encode() + text, hashlib.sha256).hexdigest().encode()

    def close(self) -> None:
        self._shut()
        with contextlib.suppress(OSError, ValueError):
            self._file.close()
        self._socket.close()

    def prove(self, secret: str, calls: bool) -> bool:
        """Whether the other end knows the secret too. calls: this end began the talk."""
        late = threading.Timer(PROVE_S, self._shut)
        late.daemon = True
        late.start()
        mine, me, other = secrets.token_hex(16), *(("calls", "answers") if calls else ("answers", "calls"))
        try:
            self.send({"nonce": mine})
            theirs = str((self.receive(LONGEST_PROOF) or {})["nonce"])
            nonces = f"{mine} {theirs}" if calls else f"{theirs} {mine}"
            if calls:
                self.send({"proof": _proof(secret, me, nonces)})
            told = str((self.receive(LONGEST_PROOF) or {})["proof"])
            known = hmac.compare_digest(told.encode(), _proof(secret, other, nonces).encode())
            if known and not calls:
                self.send({"proof": _proof(secret, me, nonces)})
            if known:
                self._key, self._who = _proof(secret, "lines", nonces).encode(), (me, other)
        except NOT_OURS:
            return False
        finally:
            late.cancel()
        return known

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


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
            try:
                yield str(server.socket.getsockname()[1]) if everywhere else path
            finally:
                server.shutdown()


def call(address: str, secret: str) -> Line:
    """address: a path, or host:port. Raises OSError where nobody answers, or somebody who does not know the secret."""
    if address.startswith("/"):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(address)
    else:
        host, _, port = address.rpartition(":")
        connected = socket.create_connection((host, int(port)), PROVE_S)
        connected.settimeout(None)
    line = Line(connected)
    if not line.prove(secret, calls=True):
        line.close()
        raise ConnectionRefusedError(f"{address}: who answers there is none of ours")
    return line
