"""Curves of every run's trainings in TensorBoard, made from metrics.jsonl and kept up while they grow.

    docker compose up tensorboard       says where to look, also from a machine of yours
    python -m jobs.tensorboard --runs runs

metrics.jsonl stays the one truth: event files lie in a folder for the time being, so RUNS may be read only.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.runtime.files import read_lines

EVERY_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.tensorboard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default=os.environ.get("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 within a container")
    parser.add_argument("--port", default=6006, type=int)
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    port = os.environ.get("TENSORBOARD_PORT") or args.port
    print(
        f"curves of {args.runs}: http://127.0.0.1:{port}; on a server: ssh -L {port}:127.0.0.1:{port} SERVER first",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory(prefix="moksori-curves-") as place:
        mirror = Mirror(Path(args.runs), Path(place))
        mirror.look()
        words = [
            "--logdir",
            place,
            "--host",
            args.host,
            "--port",
            str(args.port),
            "--reload_interval",
            str(int(EVERY_S)),
        ]
        with subprocess.Popen([sys.executable, "-m", "tensorboard.main", *words]) as server:
            try:
                while server.poll() is None:
                    time.sleep(EVERY_S)
                    mirror.look()
            finally:
                server.terminate()
        return server.returncode


class Mirror:
    """Event files under `place` that say what metrics.jsonl of each model of each run says."""

    def __init__(self, runs: Path, place: Path) -> None:
        self._runs, self._place = runs, place
        self._told: dict[Path, list[dict[str, float]]] = {}

    def look(self) -> None:
        """Writes what is new. A training that was begun again gets curves of their own: ...-2, ...-3."""
        for path in sorted(self._runs.glob("*/models/*/metrics.jsonl")):
            if not path.parent.is_symlink():  # models/NAME points to models/NAME-FINGERPRINT
                self._follow(path)

    def _follow(self, path: Path) -> None:
        try:
            lines = list(read_lines(path))
        except (OSError, ValueError):
            return  # it goes, or it is being replaced: the next look sees it
        told = self._told.get(path, [])
        if lines == told:
            return
        again = lines[: len(told)] != told
        model, run = path.parent, path.parts[-4]
        folder = self._place / run / model.name
        if again and folder.exists():
            number = 2
            while (self._place / run / f"{model.name}-{number}").exists():
                number += 1
            folder = self._place / run / f"{model.name}-{number}"
        _write(folder, lines if again else lines[len(told) :], path.stat().st_mtime)
        self._told[path] = lines


def _write(folder: Path, lines: list[dict[str, float]], when: float) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for line in lines:
        values = [
            Summary.Value(tag=name.replace("_", "/", 1), simple_value=value)
            for name, value in line.items()
            if name != "epoch" and isinstance(value, int | float)
        ]
        writer.add_event(Event(wall_time=when, step=int(line["epoch"]), summary=Summary(value=values)))
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
