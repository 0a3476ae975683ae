"""What several tests share: the demo recordings, small runs, a miniature corpus."""

import os

# as jobs do: one math thread a process, before numpy is there
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import signal
from pathlib import Path

import pytest

from app.config import Config, load_config
from app.runtime.run import Run
from app.runtime.stop import StopFlag

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"


@pytest.fixture(scope="session")
def demo() -> Path:
    return DEMO


@pytest.fixture
def a_run(tmp_path):
    """A run over `data` (default: the demo corpus) in a folder of its own; keys as in a YAML file."""

    def make(data: Path = DEMO, name: str = "test", **overrides: object) -> Run:
        path = tmp_path / "run.yaml"
        path.write_text(
            "sample_rate: 16000\nextract: {mel_hz: [40, 7600]}\n"
            "runtime: {workers: 2, nice: 0, yield_to_others: false}\n"
        )
        config: Config = load_config(path, overrides)
        return Run(name, config, path, data, tmp_path / "runs", StopFlag())

    return make


@pytest.fixture
def hang_ups_are_heard():
    """Under nohup this process, and so all that it starts, would pass on that they are not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
