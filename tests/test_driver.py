import ctypes
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from app import driver

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def asked_anew():
    driver.may_compute_on_gpu.cache_clear()
    yield
    driver.may_compute_on_gpu.cache_clear()


@pytest.mark.parametrize(("library", "gpus", "may"), [(False, 0, False), (False, 1, True), (True, 0, True)])
def test_torch_is_asked_where_there_is_a_driver_or_a_gpu(monkeypatch, library, gpus, may):
    """Drivers are played: what a machine without any says is tested below."""

    def load(name):
        if name == "libcuda.so.1" and not library:
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: gpus)
    assert driver.may_compute_on_gpu("auto") is may


def test_who_asks_for_cuda_is_answered_by_torch_and_who_asks_for_the_cpu_is_not():
    assert driver.may_compute_on_gpu("cuda") and not driver.may_compute_on_gpu("cpu")


def test_a_host_has_a_gpu_though_our_container_was_given_none(monkeypatch, tmp_path):
    """A container without the NVIDIA runtime has no NVML, and sees the host's /proc/driver: both are played."""
    monkeypatch.delenv("HOST_GPUS", raising=False)
    assert not driver.seen_on_host(tmp_path)
    monkeypatch.setenv("HOST_GPUS", "0")
    assert not driver.seen_on_host(tmp_path)
    (tmp_path / "proc/driver/nvidia/gpus/0000:81:00.0").mkdir(parents=True)
    assert driver.seen_on_host(tmp_path)
    monkeypatch.setenv("HOST_GPUS", "2")
    assert driver.seen_on_host(tmp_path / "elsewhere")


def test_a_container_is_known_by_its_marks(tmp_path):
    assert not driver.in_a_container(tmp_path)
    (tmp_path / ".dockerenv").touch()
    assert driver.in_a_container(tmp_path)


EXTRACTS = """
import sys
from pathlib import Path
import numpy as np
from app.config import load_config
from app.runtime.shards import Draft
from jobs import extract

config = load_config(Path("configs/default.yaml"), {"runtime.device": "cpu"})
part, name = sys.argv[2:]
for module in extract.dear(config, part).split():
    __import__(module)
out = Draft(Path(sys.argv[1]))
with extract._writer(out, config, part, 1.0) as writer:
    writer.add(extract.front_end(np.sin(np.arange(90_000) / 9, dtype=np.float32), config))
print(sorted(name for name in ("torch", "librosa") if name in sys.modules), np.load(out.path / name).shape)
"""


@pytest.mark.parametrize(("part", "name", "shape"), [("extract", "mel", (1, 64, 501)), ("waves", "wave", (1, 160_000))])
def test_extraction_on_a_cpu_does_without_torch(tmp_path, part, name, shape):
    command = [sys.executable, "-c", EXTRACTS, str(tmp_path), part, f"{name}.npy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == f"[] {shape}\n", done.stderr
