"""The layouts that are known, one file each, and which of them a folder has."""

from pathlib import Path

from app.corpora.corpus import Layout
from app.corpora.layouts import (
    asvspoof5,
    asvspoof2019_la,
    asvspoof2021,
    contest,
    folder,
    in_the_wild,
    table,
    wavefake,
)
from app.corpora.tables import brief
from app.errors import UserError

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        contest.LAYOUT,
        asvspoof2019_la.LAYOUT,
        *asvspoof2021.layouts(),
        asvspoof5.LAYOUT,
        in_the_wild.LAYOUT,
        wavefake.LAYOUT,
        folder.LAYOUT,
        table.LAYOUT,
    )
}


def layout_of(data: Path, name: str, key: str) -> Layout:
    """The layout called `name`, or for auto the one that fits; key: of the config, for the message.

    Raises UserError with what lies there and which layouts there are, where none fits or several do.
    """
    if not data.is_dir():
        raise UserError(f"{data}: no such folder", "DATA=... is the folder of the corpus")
    if name != "auto":
        chosen = LAYOUTS[name]
        if name != "table" and not chosen.fits(data):
            raise UserError(
                f"{data}: not in the layout {name}: {chosen.holds} (found: {_seen(data)})",
                f"point DATA=... at it, or leave {key} at auto; see docs/data.md",
            )
        return chosen
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(data)]
    if len(fitting) == 1:
        return fitting[0]
    tables = [path.name for path in sorted(data.iterdir()) if path.suffix.lower() in table.KINDS and path.is_file()]
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise UserError(f"{data}: fits several layouts: {names}", f"say which: {key}: {fitting[0].name}")
    below = [
        f"DATA={place} is in the layout {layout.name}"
        for place in sorted(data.iterdir())
        if place.is_dir()
        for layout in LAYOUTS.values()
        if layout.fits(place)
    ]
    own = [f"is {tables[0]} a table of your own? then {key}: table, and its columns"] if tables else []
    known = "\n".join(f"    {layout.name}: {layout.holds}" for layout in LAYOUTS.values())
    raise UserError(
        f"{data}: fits no layout that is known (found: {_seen(data)})",
        "".join(f"{hint}; or " for hint in [*below[:3], *own]) + f"lay it out as one of\n{known}\n  see docs/data.md",
    )


def _seen(data: Path) -> str:
    """The first names in a folder; of a table its first line as well."""
    entries = sorted(data.iterdir(), key=lambda path: path.name)
    names = []
    for path in entries[:8]:
        name = brief(path.name) + ("/" if path.is_dir() else "")
        if path.suffix.lower() in table.KINDS and path.is_file():
            with path.open("rb") as file:
                name += f" with '{brief(file.readline(200).decode(errors='replace').strip())}'"
        names.append(name)
    more = f", and {len(entries) - 8} more" if len(entries) > 8 else ""
    return (", ".join(names) or "nothing") + more
