"""A job's log stays small, loses no line, and never costs the job."""

import subprocess
import sys
from pathlib import Path

from app.runtime.logs import RotatingLog

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from pathlib import Path
from app.runtime.logs import RotatingLog
with RotatingLog(Path(sys.argv[1]), 3000, kept=40) as log:
    for n in range(2000):
        log.write(f"{sys.argv[2]} {n}")
"""


def test_lines_are_appended_and_an_old_log_goes_on(tmp_path):
    path = tmp_path / "logs" / "extract.log"
    for line in ("first", "second\n", "목소리"):
        with RotatingLog(path, 1000) as log:
            log.write(line)
            assert log.problem == ""
    assert path.read_text() == "first\nsecond\n목소리\n"


def test_beyond_its_limit_it_is_set_aside_and_three_are_kept(tmp_path):
    path = tmp_path / "extract.log"
    with RotatingLog(path, 100) as log:
        for n in range(200):
            log.write(f"line {n:04d}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["extract.log", *(f"extract.log.{n}" for n in (1, 2, 3))]
    texts = [
        (tmp_path / name).read_text() for name in ("extract.log.3", "extract.log.2", "extract.log.1", "extract.log")
    ]
    assert all(len(text) <= 110 for text in texts)
    lines = "".join(texts).splitlines()
    assert lines == [f"line {n:04d}" for n in range(200 - len(lines), 200)]


def test_two_processes_write_to_one_log_and_no_line_is_lost(tmp_path):
    path = tmp_path / "extract.log"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], cwd=ROOT) for name in ("a", "b")]
    assert [writer.wait(60) for writer in both] == [0, 0]
    lines = "".join(part.read_text() for part in tmp_path.iterdir()).splitlines()
    assert sorted(lines) == sorted(f"{name} {n}" for name in ("a", "b") for n in range(2000))
    assert len(list(tmp_path.iterdir())) > 3


def test_a_full_disk_costs_a_line_and_not_the_job(tmp_path):
    """The limit of a process on the size of its files stands in for the disk: writes come short, then fail."""
    code = f"""
import resource, signal
from pathlib import Path
from app.runtime.logs import RotatingLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = RotatingLog(Path({str(tmp_path / "a.log")!r}), 1e6)
resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))
for line in ("the first line", "the second line", "the third line"):
    log.write(line)
    print(log.problem)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write("there is room again")
print(log.problem)
log.close()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    said = done.stdout.split("\n")
    assert said[0] == "" and said[1] == "the disk is full" and "File too large" in said[2] and said[3] == ""
    assert (tmp_path / "a.log").read_text() == "the first line\nthe second\nthere is room again\n"


def test_a_log_that_cannot_be_opened_or_is_taken_away_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    log = RotatingLog(tmp_path / "file" / "a.log", 100)
    log.write("to nowhere")
    assert "File exists" in log.problem
    log.close()
    with RotatingLog(tmp_path / "b.log", 100) as log:
        log.write("one")
        (tmp_path / "b.log").unlink()
        log.write("two")
    assert (tmp_path / "b.log").read_text() == "two\n"


def test_the_device_that_is_always_full(tmp_path):
    (tmp_path / "a.log").symlink_to("/dev/full")
    with RotatingLog(tmp_path / "a.log", 100) as log:
        log.write("a line")
        assert "No space left" in log.problem
