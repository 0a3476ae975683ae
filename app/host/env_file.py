""".env: what `make doctor` found and what the user chose, for docker compose, make and the launcher alike.

Lines NAME=value, '#' begins a comment. As in compose, $NAME and a leading ~ stand for what they stand for in a shell,
but within single quotes. Python 3.8 or later, standard library only.
"""

import os
import re

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)")
_PLAIN = re.compile(r"[\w./:@%+,=-]*\Z")


def read_env(path):
    """NAME -> value; empty where there is no such file."""
    found = {}
    for line in _lines(path):
        match = _LINE.match(line)
        if match:
            found[match.group(1)] = _value(match.group(2))
    return found


def write_env(path, facts, choices, notes, owner=None):
    """Renews `facts`, adds `choices` that are not there yet, leaves every other line as it is.

    facts, choices: NAME -> value; notes: NAME -> a comment above a line that is new; owner: (uid, gid)
    of the file. Whole or not at all.
    """
    lines, seen = [], set()
    for line in _lines(path):
        match = _LINE.match(line)
        name = match.group(1) if match else None
        if name in facts:
            line = "%s=%s" % (name, quoted(facts[name]))
        if name is None or name not in seen:
            lines.append(line)
        seen.add(name)
    for values in (facts, choices):
        for name, value in values.items():
            if name not in seen:
                lines += ["# " + notes[name]] if name in notes else []
                lines.append("%s=%s" % (name, quoted(value)))
    draft = "%s.%d" % (path, os.getpid())
    with open(draft, "w") as file:
        file.write("\n".join(lines) + "\n")
    if owner:
        os.chown(draft, *owner)
    os.replace(draft, path)


def take_up(path, environ=os.environ):
    """Puts into `environ` what .env says and the environment does not: what was typed counts more."""
    for name, value in read_env(path).items():
        if value != "" and not environ.get(name):
            environ[name] = value


def quoted(value):
    text = str(value)
    return text if _PLAIN.match(text) else "'%s'" % text


def _value(text):
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    else:
        text = re.sub(r"\s+#.*", "", text)
    return os.path.expanduser(os.path.expandvars(text))


def _lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []
