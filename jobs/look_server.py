"""A small server for looking: the dashboard, its state, the reports. GET and HEAD alone; it changes nothing."""

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from app.scoring.dashboard import View, sections_of
from app.scoring.page import page

EVERY_S = 2.0  # the page asks so often
FRESH_S = 1.0  # however many ask, it is looked no more often than this
PATIENCE_S = 10.0  # with whoever asks slowly
COOKIE = "moksori-"  # and a mark of the token: a browser keeps one jar for all ports of a host
TITLES = {"machine": "Machine", "jobs": "Jobs", "curves": "Curves", "best": "Models"}
NEVER = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
REPORT = re.compile(r"/report/(\w[\w.-]*)(?:/(beside-[\w.-]+\.html))?")


class Server:
    """Serves from its making on, once `serve` is called. On another address than loopback only with its token."""

    def __init__(self, host: str, port: int, view: Callable[[], View], runs: Path) -> None:
        self.token = "" if is_loopback(host) else secrets.token_urlsafe(24)
        self.runs, self._view = runs, view
        self._one, self._seen, self._when = threading.Lock(), dict[str, str](), 0.0
        looks = self

        class Handler(_Handler):
            server_of = looks

        kind = type("_Http", (_Http,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
        self._http = kind((host, port), Handler)
        self.port: int = self._http.server_address[1]
        self.cookie = f"{COOKIE}{hashlib.sha256(self.token.encode()).hexdigest()[:12]}"

    def serve(self) -> None:
        """Until the process is told to end."""
        with self._http:
            self._http.serve_forever(poll_interval=0.5)

    def state(self) -> dict[str, str]:
        """The sections; looked at anew where the last look is old."""
        with self._one:
            if time.monotonic() - self._when > FRESH_S or not self._seen:
                view = self._view()
                self._seen, self._when = sections_of(view), time.monotonic()
            return self._seen


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    server_version, sys_version = "Moksori", ""
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        looks, asked = self.server_of, urlsplit(self.path)
        if not looks.token and not self._is_meant_for_us():
            return self._send(with_body, 403, "Forbidden: not asked for by its own name.")
        given = parse_qs(asked.query).get("token", [""])[0]
        if looks.token and not self._may(given):
            return self._send(with_body, 403, "Forbidden: the address that make dashboard printed holds a token.")
        if given and looks.token:  # kept as a cookie, so that it stays in no history
            cookie = f"{looks.cookie}={looks.token}; HttpOnly; SameSite=Strict; Path=/"
            return self._send(with_body, 303, "", {"Location": asked.path or "/", "Set-Cookie": cookie})
        if asked.path == "/":
            nonce = secrets.token_urlsafe(16)
            text = self._page(nonce)
            allowed = f"style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
            return self._send(with_body, 200, text, {"Content-Security-Policy": f"{NEVER}; {allowed}"}, "text/html")
        if asked.path == "/state":
            told = {"when": time.strftime("%F %T"), "sections": looks.state()}
            return self._send(with_body, 200, json.dumps(told), {}, "application/json")
        if found := self._report(asked.path):
            allowed = f"{NEVER}; style-src 'unsafe-inline'; img-src data:; media-src data:"
            return self._send(with_body, 200, found, {"Content-Security-Policy": allowed}, "text/html")
        self._send(with_body, 404, "Not found.")

    def _page(self, nonce: str) -> str:
        looks = self.server_of
        return page(
            "dashboard.html.j2",
            sections=looks.state(),
            host=socket.gethostname(),
            runs=str(looks.runs),
            when=time.strftime("%F %T"),
            titles=TITLES,
            nonce=nonce,
            every_ms=round(1000 * EVERY_S),
        )

    def _report(self, path: str) -> bytes | None:
        named = REPORT.fullmatch(unquote(path))
        if not named:
            return None
        try:
            return (self.server_of.runs / named[1] / "report" / (named[2] or "index.html")).read_bytes()
        except OSError:
            return None

    def _is_meant_for_us(self) -> bool:
        """By the name it was asked by: a page of somebody else's that has its name led here (DNS rebinding) is not."""
        name = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        return name.strip("[]") == "localhost" or is_loopback(name.strip("[]"))

    def _may(self, given: str) -> bool:
        kept = re.search(rf"(?:^|;) *{self.server_of.cookie}=([\w-]+)", self.headers.get("Cookie", ""))
        offered = given or (kept[1] if kept else "")
        return hmac.compare_digest(offered.encode(), self.server_of.token.encode())

    def _send(
        self, with_body: bool, code: int, body: str | bytes, headers: dict[str, str] | None = None,
        kind: str = "text/plain",
    ) -> None:  # fmt: skip
        data = body.encode() if isinstance(body, str) else body
        self.send_response(code)
        for name, value in {
            "Content-Security-Policy": NEVER,
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            try:
                self.wfile.write(data)
            except OSError:
                pass  # whoever asked is gone

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a token would stand in it."""
