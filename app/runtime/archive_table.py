"""The table at the head of an archive: every file's size and SHA-256, and the links between them; nothing harmful."""

from typing import Any

FORMAT = 1
LONGEST = 255  # bytes in one part of a name, as file systems have it

# "format", "run", "made_on", "bytes": of all files; "files": name -> {"bytes", "sha256"}; "links": name -> target
Table = dict[str, Any]


def checked(table: Any) -> Table:
    """The table, if none of its names, links and sizes can do harm. Raises ValueError naming the first that could."""
    if table["format"] != FORMAT:
        raise ValueError(f"format {table['format']}, this program knows {FORMAT}")
    run = table["run"]
    if "/" in run or run == "stages" or not _is_plain(run):
        raise ValueError(f"{run!r} is no name for a run")
    folders, total = set(), 0
    for name, known in table["files"].items():
        first, *rest = name.split("/")
        if not all(map(_is_plain, [first, *rest])) or first not in ("stages", run) or len(rest) < 1 + (first != run):
            raise ValueError(f"{name!r} is no name for a file in an archive")
        parts = [first, *rest]
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        size, digest = known["bytes"], known["sha256"]
        if type(size) is not int or size < 0 or len(digest) != 64 or digest.strip("0123456789abcdef"):
            raise ValueError(f"{name}: no size and SHA-256")
        total += size
    for link, target in table["links"].items():
        first, kind, *rest = link.split("/")
        shown = target.removeprefix("../../stages/") if kind == "stages" else target
        known_target = f"stages/{shown}" if kind == "stages" else f"{run}/models/{shown}"
        if first != run or kind not in ("stages", "models") or len(rest) != 1 or not _is_plain(rest[0]):
            raise ValueError(f"{link!r} is no link of ours")
        if target != ("../../stages/" if kind == "stages" else "") + shown or known_target not in folders:
            raise ValueError(f"{link!r} leads to {target!r}, out of the archive")
    names = {*table["files"], *table["links"]}
    if folders & names or len(names) != len(table["files"]) + len(table["links"]):
        raise ValueError("a name is a file and a folder or link as well")
    if f"{run}/config.yaml" not in table["files"]:
        raise ValueError(f"no {run}/config.yaml, which every run has")
    if total != table["bytes"]:
        raise ValueError(f"its files have {total} bytes together, it tells of {table['bytes']}")
    found: Table = table
    return found


def _is_plain(part: str) -> bool:
    """A name that stays where it is: no way up, nothing hidden, nothing that a terminal or a file system refuses."""
    size = len(part.encode("utf-8", "surrogateescape"))
    return 0 < size <= LONGEST and part[0] != "." and "/" not in part and min(part) >= " " and "\x7f" not in part
