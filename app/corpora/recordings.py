"""All recordings of a run: of one corpus or of several, and of the corpus that is the test."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from app.config import Config, TableConfig
from app.corpora.corpus import Corpus, Layout
from app.corpora.layouts import layout_of
from app.corpora.leaks import names_shared
from app.corpora.manifest import recording
from app.corpora.tables import brief
from app.errors import UserError
from app.runtime.rows import Row, Rows


def recordings_of(data: Path, config: Config) -> Corpus:
    """Training recordings with all that is known of them, test recordings with nothing but where they lie.

    Of several corpora (`prepare.corpora`) an id, and a parent's, begins with the corpus' name, and `corpus` holds it;
    speakers and attacks keep their names: who is called alike in two of them counts as one, and stays on one side
    of a split. Raises UserError for what a layout finds wrong, and where training lacks a label.
    """
    found = _joined(data, config) if config.prepare.corpora else _single(data, config)
    tests = Rows(row for row in found.rows if row["split"] == "test")
    tables, notes = found.tables, found.notes
    kept = Rows(row for row in found.rows if row["split"] != "test")
    learnt = Rows(row for row in kept if row["split"] == "train")
    if config.test.data is not None:
        layout, tested = _tested(data, config)
        if tests:
            notes = [*notes, f"{len(tests)} test recordings of the corpus that is learnt from are set aside"]
        tests = Rows({**row, "path": f"{config.test.data}/{row['path']}"} for row in _to_test(tested))
        tables = [*tables, *(f"{config.test.data}/{table}" for table in tested.tables)]
        notes = [*notes, f"the test is {config.test.data}, {_named(layout)}", *tested.notes, *_aside(tested)]
        name = _learnt_from(data, tested_folder(data, config), config)
        shared = names_shared(learnt, Rows(_as_learnt(row, name) for row in tests))
    else:
        shared = names_shared(learnt, tests)
    if not kept and not tests:
        raise UserError(f"{data}: holds no recording", "is it unpacked and mounted? docs/data.md shows each layout")
    _check_labels(data, kept)
    _check_ids(data, [kept, tests] if config.test.data is not None else [chain(kept, tests)])
    answers = any(row["real"] is not None for row in tests)
    notes = [*notes, *shared]
    return Corpus(Rows(chain(kept, map(_bare, tests))), tables, found.has_meta, notes, answers)


def answers_of(data: Path, config: Config) -> list[dict[str, Any]] | None:
    """One row a labelled test recording: id, fake, real and what else is told of it. None where nobody tells."""
    found: list[dict[str, Any]] = []
    for name, folder, layout, corpus in _tests(data, config):
        labels = _labels(folder, layout, config)
        told: Iterable[dict[str, Any]] = []
        if labels and layout.answers:
            told = layout.answers(folder, labels)
        elif config.test.data is not None:
            told = _to_test(corpus)
        elif not layout.answers:
            told = (row for row in corpus.rows if row["split"] == "test")
        keys = ("fake", "real", "speaker", "attack", "language", "codec")
        for row in told:
            if row["real"] is not None:
                id = f"{name}:{row['id']}" if name else row["id"]
                known = row if labels else {key: row.get(key) for key in keys}
                found.append({**known, "id": id})
    return found or None


def label_files(data: Path, config: Config) -> list[Path]:
    """Files of test labels (test.labels) that are there: of DATA, of each of several corpora, or of test.data."""
    if config.test.labels is None:
        return []
    folders = [data / one.data for one in config.prepare.corpora.values()] or [data]
    if config.test.data is not None:
        folders = [data / config.test.data]
    return [path for folder in folders if (path := folder / config.test.labels).is_file()]


def tested_folder(data: Path, config: Config) -> Path:
    """Where the test's tables lie: its labels and, in the contest layout, its sample_submission.csv."""
    return data if config.test.data is None else below(data, config.test.data, "test.data")


def below(data: Path, folder: str, key: str) -> Path:
    """A folder below DATA, by itself or by a link. Raises UserError for any other."""
    path = Path(folder)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{key}: '{folder}' does not lie below DATA ({data})",
            f"link it there, ln -s {folder} {data / path.name}, and write {key}: {path.name}",
        )
    if not (data / path).is_dir():
        raise UserError(f"{key}: no such folder: {data / path}", "it is taken from DATA=...; is it linked or mounted?")
    return data / path


def _single(data: Path, config: Config) -> Corpus:
    """DATA itself is the corpus."""
    layout, corpus = _read(data, config.prepare.adapter, config.prepare.table, "prepare.adapter")
    named = [] if layout.name == "contest" else [f"the corpus is {_named(layout)}"]
    return replace(corpus, notes=[*named, *corpus.notes])


def _joined(data: Path, config: Config) -> Corpus:
    """Several corpora in folders below DATA."""
    rows, tables, notes, has_meta = Rows(), list[str](), list[str](), True
    for name, one in config.prepare.corpora.items():
        folder = below(data, one.data, f"prepare.corpora.{name}.data")
        layout, corpus = _read(
            folder, one.adapter, one.table or config.prepare.table, f"prepare.corpora.{name}.adapter"
        )
        notes += [f"corpus {name}: {one.data}, {_named(layout)}", *corpus.notes]
        tables += [f"{one.data}/{table}" for table in corpus.tables]
        has_meta &= corpus.has_meta
        for row in corpus.rows:
            id, parent = f"{name}:{row['id']}", row["parent"] and f"{name}:{row['parent']}"
            path = f"{one.data}/{row['path']}"
            rows.append({**row, "id": id, "path": path, "sources": [id], "parent": parent, "corpus": name})
    return Corpus(rows, tables, has_meta, notes)


def _named(layout: Layout) -> str:
    return f"in the layout {layout.name}: {layout.labels}; cite {layout.source}"


def _read(folder: Path, adapter: str, table: TableConfig, key: str) -> tuple[Layout, Corpus]:
    layout = layout_of(folder, adapter, key)
    return layout, layout.read(folder, table)


def _tested(data: Path, config: Config) -> tuple[Layout, Corpus]:
    """The corpus of test.data."""
    folder = tested_folder(data, config)
    layout, corpus = _read(folder, config.test.corpus, config.test.table or config.prepare.table, "test.corpus")
    if not any(True for _ in _to_test(corpus)):
        raise UserError(f"{folder}: holds no recording that could be a test", "give test.data another corpus")
    if _learnt_from(data, folder, config) and not any(row["split"] == "test" for row in corpus.rows):
        raise UserError(
            f"test.data: {config.test.data} is learnt from, and has no test of its own",
            "give test.data another corpus, or leave this one out of prepare.corpora",
        )
    return layout, corpus


def _learnt_from(data: Path, folder: Path, config: Config) -> str | None:
    """Under which name the test's folder is also learnt from, "" for DATA itself; None: it is not."""
    places = {name: data / one.data for name, one in config.prepare.corpora.items()} or {"": data}
    return next((name for name, place in places.items() if place.resolve() == folder.resolve()), None)


def _as_learnt(row: Row, name: str | None) -> Row:
    """A test row with id and parent as training rows write them; name: as _learnt_from tells."""
    if name is None:  # of another corpus: an id that is alike is so by chance
        return {**row, "id": None, "parent": None}
    begin = f"{name}:" if name else ""
    return {**row, "id": begin + row["id"], "parent": row["parent"] and begin + row["parent"]}


def _aside(tested: Corpus) -> list[str]:
    """A sentence on what test.data holds beside its test."""
    tests = sum(1 for _ in _to_test(tested))
    left = Counter(row["split"] for row in tested.rows if row["split"] != "test") if tests < len(tested.rows) else {}
    if not any(row["split"] == "test" for row in tested.rows):
        left = Counter({"without a label": len(tested.rows) - tests})
    if not (kinds := [f"{count} {split}" for split, count in left.items() if count]):
        return []
    return [f"of its {len(tested.rows)} recordings {tests} are the test; set aside: {', '.join(kinds)}"]


def _tests(data: Path, config: Config) -> Iterator[tuple[str, Path, Layout, Corpus]]:
    """(name or "", folder, layout, corpus) of each corpus that test recordings come from."""
    how = config.prepare
    if config.test.data is not None:
        folder, table = tested_folder(data, config), config.test.table or how.table
        yield "", folder, *_read(folder, config.test.corpus, table, "test.corpus")
    elif how.corpora:
        for name, one in how.corpora.items():
            folder = below(data, one.data, f"prepare.corpora.{name}.data")
            yield name, folder, *_read(folder, one.adapter, one.table or how.table, f"prepare.corpora.{name}.adapter")
    else:
        yield "", data, *_read(data, how.adapter, how.table, "prepare.adapter")


def _labels(folder: Path, layout: Layout, config: Config) -> Path | None:
    """The file of labels beside a test whose tables do not tell them."""
    path = folder / config.test.labels if layout.answers and config.test.labels else None
    return path if path and path.is_file() else None


def _to_test(corpus: Corpus) -> Iterator[Row]:
    """Its test; of a corpus without one, all that is labelled."""
    has_test = any(row["split"] == "test" for row in corpus.rows)
    for row in corpus.rows:
        if row["split"] == "test" if has_test else row["real"] is not None:
            yield {**row, "split": "test"}


def _bare(row: Row) -> Row:
    """A test recording as those may see it who are not to know its label."""
    known = recording(id=row["id"], path=row["path"], label=None, split="test")
    return {**known, "corpus": row["corpus"]} if "corpus" in row else known


def _check_labels(data: Path, rows: Rows) -> None:
    labels = {row["real"] for row in rows if row["split"] == "train"}
    if not labels:
        raise UserError(
            f"{data}: no recording to learn from, this corpus is a test alone",
            "use it as test.data, and learn from another corpus; see docs/data.md",
        )
    for label, value in (("real", 1), ("fake", 0)):
        if value not in labels:
            raise UserError(
                f"{data}: both labels, real and fake, are needed; no {label} recording to learn from was found",
                "add some, or join a corpus that has them (prepare.corpora); see docs/data.md",
            )


def _check_ids(data: Path, apart: list[Iterable[Row]]) -> None:
    """Each of `apart` has ids of its own."""
    for rows in apart:
        seen: dict[str, str] = {}
        for row in rows:
            if row["id"] in seen:
                raise UserError(
                    f"{data}: id '{brief(row['id'])}' is both a {seen[row['id']]} and a {row['split']} clip",
                    "make ids unique",
                )
            seen[row["id"]] = row["split"]
