"""Takes out of a text what is nobody's business: names of people, their folders, and what looks like a secret.

Rather a word too many than a secret too few; numbers, fingerprints and messages stay.
"""

import getpass
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MASK = "***"
# "key" only as the end of a name (api_key, apiKey), the others anywhere in it: KeyError is no secret
_NAME = (
    r"[\w.-]*?(?:(?i:token|secret|passwo?r?d|passphrase|credential|authorization|webhook|cookie)[\w-]*"
    r"|(?i:(?<![a-z])auth|(?<![a-z])pwd|api_?-?key)|(?:[_.-]|\b)(?i:key)|Key)"
)
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MASK),
        (r"(\w[\w+.-]*://)[^\s/@\"']+@", rf"\1{MASK}@"),  # scheme://name:password@host
        (r"(\w[\w+.-]*://[^\s?#\"']*)[?#][^\s\"']*", rf"\1?{MASK}"),  # what is asked of a host
        (r"(\w[\w+.-]*://[^\s/\"']+)/[^\s\"']*[\w-]{16,}[^\s\"']*", rf"\1/{MASK}"),  # a webhook's long path
        (r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{8,}", rf"\1 {MASK}"),
        (rf"(--{_NAME})(\s+|=)(?:{_QUOTED}|\S+)", rf"\1\2{MASK}"),
        # name: value, to the end of the line where no quotes say where it ends
        (rf"(?<![\w-])([\"']?{_NAME}[\"']?\s*(?::|=)\s*)(?:{_QUOTED}|[^\s\"'][^\n]*)", rf"\1{MASK}"),
        (rf"(?<![\w-])({_NAME}\W{{1,3}})[\w+/=-]{{16,}}", rf"\1{MASK}"),
        (
            r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|sk_|pk_|rk_|xox[abposr]-|AKIA|ASIA|AIza|ya29\.|npm_|pypi-)"
            r"[\w-]{8,}[\w.-]*",
            MASK,
        ),
        (r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*", MASK),  # a JSON web token
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "EMAIL"),
        (r"/(home|Users)/[^/\s\"':]+", r"/\1/USER"),
    )
)


class Masker:
    """Masks texts: the patterns above, this user's home and name, and `whole`, whatever they are."""

    def __init__(self, whole: Iterable[str] = (), home: Path | None = None, user: str | None = None) -> None:
        self._whole = sorted({text for text in whole if text.strip()}, key=len, reverse=True)
        home = home or _home()
        self._home = str(home).rstrip("/") if home and len(home.parts) > 1 else ""
        self._user = user if user is not None else _user()

    def __call__(self, text: str) -> str:
        for secret in self._whole:
            # as it stands, as JSON has it, and as a shell's message repeats its lines
            for form in {secret, secret.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")}:
                text = text.replace(form, MASK)
        if self._home:
            text = re.sub(rf"{re.escape(self._home)}(?![\w-])", "~", text)
        for pattern, mask in _PATTERNS:
            text = pattern.sub(mask, text)
        if self._user:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(self._user)}(?![A-Za-z0-9])", "USER", text)
        return text

    def data(self, value: Any) -> Any:
        """The same of all strings within what JSON can hold; what has a secret's name is masked whole."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.data(each) for each in value]
        if isinstance(value, dict):
            return {
                self(key): MASK if isinstance(each, str) and re.fullmatch(_NAME, key) else self.data(each)
                for key, each in value.items()
            }
        return value


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
