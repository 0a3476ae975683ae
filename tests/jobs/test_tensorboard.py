"""Curves follow metrics.jsonl, as TensorBoard itself reads them."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.tensorboard import Mirror

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, losses: list[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"epoch": n + 1, "train_loss": x}) + "\n" for n, x in enumerate(losses)))


def curve(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars("train/loss")]


def test_what_grows_is_followed_and_what_begins_anew_gets_a_curve_of_its_own(tmp_path):
    runs, place = tmp_path / "runs", tmp_path / "curves"
    model = runs / "mine" / "models" / "crnn-1234"
    write(model / "metrics.jsonl", [0.7])
    (model.parent / "crnn").symlink_to(model.name)
    mirror = Mirror(runs, place)
    mirror.look()
    write(model / "metrics.jsonl", [0.7, 0.5, 0.4])
    mirror.look()
    mirror.look()
    assert curve(place / "mine" / "crnn-1234") == [(1, 0.7), (2, 0.5), (3, 0.4)]
    write(model / "metrics.jsonl", [0.9])
    mirror.look()
    write(model / "metrics.jsonl", [0.8])
    mirror.look()
    assert curve(place / "mine" / "crnn-1234-2") == [(1, 0.9)] and curve(place / "mine" / "crnn-1234-3") == [(1, 0.8)]
    (model / "metrics.jsonl").write_text('{"epoch": 1, "train')  # torn
    mirror.look()
    assert sorted(path.name for path in (place / "mine").iterdir()) == ["crnn-1234", "crnn-1234-2", "crnn-1234-3"]


def test_the_page_answers_and_goes_when_it_is_told(tmp_path):
    write(tmp_path / "mine/models/crnn-1/metrics.jsonl", [0.7, 0.6])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "jobs.tensorboard", "--runs", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as page:
        try:
            url, end, found = f"http://127.0.0.1:{port}/data/runs", time.monotonic() + 60, None
            while found != ["mine/crnn-1"]:
                assert time.monotonic() < end and page.poll() is None, found
                time.sleep(0.3)
                try:
                    with urllib.request.urlopen(url, timeout=5) as answer:
                        found = json.load(answer)
                except OSError:
                    pass
        finally:
            page.terminate()
        assert page.wait(20) == 0
