"""GPUs on a shared server. The server is played by tests/runtime/fake_nvml.py; locks and processes are real."""

import fcntl
import getpass
import inspect
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pynvml
import pytest

from app.config import RuntimeConfig
from app.errors import STOPPED, Stopped, UserError
from app.runtime.gpus import CHECK_S, GpuLost, taken_gpus
from app.runtime.nvml import read_gpus
from tests.runtime.fake_nvml import FakeGpu, FakeNvml

ROOT = Path(__file__).resolve().parents[2]


class Told:
    """What a job heard: lines said, states while waiting; and the flag that makes it leave."""

    def __init__(self):
        self.lines, self.waits, self.asked, self.stop_after = [], [], 0, None

    def wait_state(self, why, since):
        self.waits.append((why, since))

    def leave(self):
        self.asked += 1
        if self.stop_after is not None and self.asked > self.stop_after:
            raise Stopped("SIGTERM")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def take(tmp_path, told):
    """taken_gpus on a fake server; keys of the runtime section, and `environ`."""

    def make(server, environ=None, job="train", **keys):
        return taken_gpus(
            tmp_path,
            job,
            RuntimeConfig(**keys),
            wait_state=told.wait_state,
            say=told.lines.append,
            leave=told.leave,
            nvml=server,
            environ={} if environ is None else environ,
            sleep=server.sleep,
            clock=server.clock,
        )

    return make


def uuids(taken):
    return [gpu.uuid for gpu in taken.gpus]


def at(clock):
    """Some day at this local time, in seconds since the epoch."""
    return time.mktime(time.strptime(f"2026-11-22 {clock}", "%Y-%m-%d %H:%M"))


# --- which one


def test_the_emptiest_that_nobody_uses_is_taken_although_a_busy_one_is_emptier(take):
    server = FakeNvml(
        FakeGpu("GPU-a", free_gb=20),
        FakeGpu("GPU-b", free_gb=38, busy=90),
        FakeGpu("GPU-c", free_gb=30),
        FakeGpu("GPU-d", free_gb=3),
    )
    environ = {"PATH": "/bin"}
    with take(server, environ) as taken:
        assert uuids(taken) == ["GPU-c"]
        assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-c"
    assert environ == {"PATH": "/bin"}
    assert server.started == 0


def test_people_with_other_runs_share_the_locks_of_gpu_locks(take, tmp_path):
    environ = {"GPU_LOCKS": str(tmp_path / "machine")}
    with take(FakeNvml(FakeGpu("GPU-a", free_gb=20)), dict(environ)) as taken:
        assert uuids(taken) == ["GPU-a"] and (tmp_path / "machine" / "GPU-a.lock").exists()
        with pytest.raises(UserError, match="taken by our job"), take(FakeNvml(FakeGpu("GPU-a", free_gb=20)), environ):
            pass
    assert not (tmp_path / ".gpus").exists()


def test_ties_go_to_the_least_busy_and_then_to_the_first(take):
    server = FakeNvml(FakeGpu("GPU-a", busy=15), FakeGpu("GPU-b", busy=5), FakeGpu("GPU-c", busy=5))
    with take(server, max_gpus=3) as taken:
        assert uuids(taken) == ["GPU-b", "GPU-c", "GPU-a"]


def test_max_gpus_is_kept_and_fewer_are_enough(take):
    server = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b", free_gb=35), FakeGpu("GPU-c", free_gb=2))
    with take(server) as taken:
        assert uuids(taken) == ["GPU-a"]
    with take(server, max_gpus=4) as taken:
        assert uuids(taken) == ["GPU-a", "GPU-b"]


def test_a_gpu_that_only_pauses_between_two_batches_is_busy_and_its_fullest_moment_counts():
    gpu = FakeGpu("GPU-a", busy=0)
    server = FakeNvml(gpu)
    server.nvmlInit()
    server.at(0.4, gpu, busy=100, free_gb=12.0)
    server.at(1.4, gpu, busy=50, free_gb=39.0)
    (seen,) = read_gpus(server, server.sleep)
    assert seen.busy == pytest.approx((0 + 1 + 1 + 0.5 + 0.5) / 5)
    assert seen.free_gb == 12.0
    assert server.slept == 2.0


def test_one_broken_gpu_does_not_hide_the_others(take):
    lost = FakeGpu("GPU-a", error=pynvml.NVML_ERROR_GPU_IS_LOST)
    server = FakeNvml(lost, FakeGpu("GPU-b", busy=90))
    with pytest.raises(UserError) as error, take(server):
        pass
    assert "GPU 0 (unknown): cannot be used: GPU is lost" in str(error.value)
    server.gpus.append(FakeGpu("GPU-c", mig=None))
    with take(server) as taken:
        assert uuids(taken) == ["GPU-c"]


# --- what is visible to us


def test_hidden_gpus_are_not_taken_and_the_variable_is_put_back(take, told):
    server = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b", free_gb=9), FakeGpu("GPU-c"))
    environ = {"CUDA_VISIBLE_DEVICES": "1"}
    with take(server, environ) as taken:
        assert uuids(taken) == ["GPU-b"]
        assert environ == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    assert environ == {"CUDA_VISIBLE_DEVICES": "1"}
    with take(server, {"CUDA_VISIBLE_DEVICES": ""}) as taken:
        assert taken.gpus == []
    assert told.lines[-1] == "no GPU: CUDA_VISIBLE_DEVICES= hides all"


# --- MIG


def test_a_gpu_in_mig_mode_is_offered_as_its_instances_and_one_is_taken_alone(take):
    parts = [
        FakeGpu("MIG-a", 10, 9.9, None, "A100 MIG 2g.10gb", users=[(os.getpid(), None)]),
        None,
        FakeGpu("MIG-b", 20, 19.9, None, "A100 MIG 3g.20gb"),
        FakeGpu("MIG-c", 30, 22.0, None, "A100 MIG 4g.30gb"),  # nobody to be seen, and 8 GB in use
        FakeGpu("MIG-d", 10, 9.8, None, "A100 MIG 2g.10gb"),
    ]
    server = FakeNvml(FakeGpu("GPU-a", instances=parts), FakeGpu("GPU-b", 24, 15))
    with take(server, max_gpus=2) as taken:
        assert uuids(taken) == ["MIG-b"]
        with take(server, max_gpus=2) as second:
            assert uuids(second) == ["GPU-b"]
    server.gpus += [FakeGpu("GPU-c", 40, 30), FakeGpu("GPU-d", 40, 12)]
    with take(server, max_gpus=9) as taken:
        assert uuids(taken) == ["GPU-c", "GPU-b", "GPU-d"]
    with take(server, {"CUDA_VISIBLE_DEVICES": "0"}, max_gpus=9, gpu_free_gb=9.0) as taken:
        assert uuids(taken) == ["MIG-b"]
    with pytest.raises(UserError, match=r"GPU 0 A100 MIG 2g.10gb \(MIG-a\): 9.9 of 10 GB free, 100 % busy, used by"):
        take(server, {"CUDA_VISIBLE_DEVICES": "MIG-a"}).__enter__()


# --- none, and waiting for one


def test_without_a_gpu_that_fits_the_user_reads_why_and_what_to_do(take):
    me, server = (
        getpass.getuser(),
        FakeNvml(
            FakeGpu("GPU-a", free_gb=3.1, busy=97, users=[(os.getpid(), 30), (2**22 + 1, 6.5)]),
            FakeGpu("GPU-b", busy=60),
        ),
    )
    with pytest.raises(UserError) as error, take(server):
        pass
    assert str(error.value).splitlines() == [
        "no GPU is free for us (8.0 GB of memory, at most 20 % busy):",
        f"  GPU 0 NVIDIA A100: 3.1 of 40 GB free, 97 % busy, used by {me} (pid {os.getpid()}, 30 GB), "
        f"somebody (pid {2**22 + 1}, 6.5 GB)",
        "  GPU 1 NVIDIA A100: 39 of 40 GB free, 60 % busy",
        "  fix: GPU=wait waits for one, DEVICE=cpu computes without",
    ]
    assert server.started == 0


def test_waits_until_one_is_freed_and_says_for_what_and_since_when(take, told):
    first, second = FakeGpu("GPU-a", busy=95), FakeGpu("GPU-b", free_gb=4)
    server = FakeNvml(first, second)
    begun = server.now
    server.at(65, second, free_gb=33)
    with take(server, gpu_wait=True) as taken:
        assert uuids(taken) == ["GPU-b"]
    assert 65 <= server.slept < 65 + 14  # a look every 10 s, which takes 2 s
    why, since = told.waits[0]
    assert (
        "8.0 GB of memory" in why and "GPU 0 NVIDIA A100: 39 of 40 GB free, 95 % busy; GPU 1 NVIDIA A100: 4.0 of" in why
    )
    assert all(since == begun for _, since in told.waits)
    assert told.waits[-1] == ("", begun)
    assert told.lines[0].startswith(
        f"waiting since {time.strftime('%F %T', time.localtime(begun))}: no GPU is free for us"
    )
    assert told.lines[1:] == ["takes GPU 1 NVIDIA A100: 33 of 40 GB free, 0 % busy"]


def test_a_long_wait_is_said_again_but_not_at_every_look(take, told):
    gpu = FakeGpu("GPU-a", busy=95)
    server = FakeNvml(gpu)
    server.at(3600, gpu, busy=0)
    with take(server, gpu_wait=True):
        pass
    assert len(told.waits) > 250
    assert 4 <= len([line for line in told.lines if line.startswith("waiting")]) <= 7


def test_a_stop_while_waiting_is_heard_within_a_fifth_of_a_second(take, told):
    server = FakeNvml(FakeGpu("GPU-a", busy=95))
    told.stop_after = 200
    with pytest.raises(Stopped, match="SIGTERM"), take(server, gpu_wait=True):
        pass
    assert told.asked == 201
    assert server.slept <= 200 * 0.2 + 1e-6
    assert server.started == 0


def test_what_no_gpu_here_can_ever_give_is_not_waited_for(take):
    with (
        pytest.raises(UserError, match="runtime.gpu_free_gb: no GPU here has 80 GB"),
        take(FakeNvml(FakeGpu("GPU-a")), gpu_wait=True, gpu_free_gb=80.0),
    ):
        pass


def test_nvml_that_stops_answering_while_we_wait_ends_the_job_with_75(take):
    server = FakeNvml(FakeGpu("GPU-a", busy=95))
    server.nvmlDeviceGetCount = lambda: (_ for _ in ()).throw(pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN))
    with pytest.raises(GpuLost, match="Unknown Error"), take(server, gpu_wait=True):
        pass
    assert issubclass(GpuLost, Stopped) and STOPPED == 75


# --- none at all


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_without_a_driver_there_is_no_gpu_and_no_complaint(take, told, code):
    environ = {}
    with take(FakeNvml(no_driver=code), environ, gpu_wait=True) as taken:
        assert taken.gpus == [] and environ == {}
        assert taken.hours_over() == ""
        taken.check()
    assert told.waits == []


def test_device_cpu_leaves_the_gpus_alone(take):
    server = FakeNvml(FakeGpu("GPU-a"))
    with take(server, device="cpu") as taken:
        assert taken.gpus == []
    assert server.asked == 0


def test_this_very_machine_gives_a_gpu_or_none(tmp_path, told):
    """The real NVML, or its absence."""
    environ = {}
    try:
        with taken_gpus(
            tmp_path, "train", RuntimeConfig(), wait_state=told.wait_state, say=told.lines.append, leave=told.leave,
            environ=environ,
        ) as taken:  # fmt: skip
            assert environ.get("CUDA_VISIBLE_DEVICES", "") == ",".join(uuids(taken))
            taken.check()
    except UserError as busy:
        assert "GPU=wait" in str(busy)


def test_the_fake_has_only_what_nvml_has():
    functions = [name for name in vars(FakeNvml) if name.startswith("nvml")]
    assert "nvmlDeviceGetHandleByUUID" in functions
    for name in functions:
        real = inspect.signature(getattr(pynvml, name)).parameters
        assert list(inspect.signature(getattr(FakeNvml, name)).parameters)[1:] == list(real), name


# --- hours


def test_wrong_hours_stop_a_job_even_without_a_gpu(take):
    wrong = "20:00-20:00"  # what the config's pattern cannot know: hours that never come
    with pytest.raises(UserError, match=f"runtime.gpu_hours: '{wrong}'"), take(FakeNvml(no_driver=12), gpu_hours=wrong):
        pass


def test_outside_its_hours_a_job_is_told_when_they_begin(take):
    server = FakeNvml(FakeGpu("GPU-a"), now=at("14:05"))
    with pytest.raises(UserError, match="GPUs are used from 20:00 on") as error, take(server, gpu_hours="20:00-08:00"):
        pass
    assert "GPU=wait" in error.value.fix
    assert server.asked == 0


def test_a_job_waits_for_its_hours_and_hears_when_they_are_over(take, told):
    server = FakeNvml(FakeGpu("GPU-a"), now=at("19:58"))
    with take(server, gpu_hours="20:00-20:30", gpu_wait=True) as taken:
        assert uuids(taken) == ["GPU-a"]
        assert at("20:00") <= server.now < at("20:01")
        assert told.waits[0] == ("GPUs are used from 20:00 on: runtime.gpu_hours is 20:00-20:30", at("19:58"))
        assert taken.hours_over() == ""
        server.now = at("20:30")
        assert taken.hours_over() == "GPU hours are over until 20:00"


# --- one job of ours, one GPU


@contextmanager
def other_job(runs, *uuids, before=()):
    """tests/runtime/take_gpu.py in a process of its own, after it has said what it got."""
    words = [*before, sys.executable, "-m", "tests.runtime.take_gpu", str(runs), *uuids]
    process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, json.loads(process.stdout.readline() or "null")
    finally:
        process.kill()
        process.communicate()


def test_two_jobs_do_not_take_the_same_gpu_and_the_second_reads_who_has_it(tmp_path, take, told):
    server = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b", free_gb=30))
    with other_job(tmp_path, "GPU-a") as (process, got):
        assert got == ["GPU-a"]
        with take(server) as taken:
            assert uuids(taken) == ["GPU-b"]
            told.lines.clear()
            with pytest.raises(UserError) as error, take(server):
                pass
    assert re.search(
        rf"GPU 0 NVIDIA A100: taken by our job train \(pid {process.pid} on \S+, since 20", str(error.value)
    )
    assert re.search(rf"GPU 1 NVIDIA A100: taken by our job train \(pid {os.getpid()} on ", str(error.value))
    assert told.lines == []


def test_a_dead_holders_gpu_is_free_again(tmp_path, take):
    server = FakeNvml(FakeGpu("GPU-a"))
    with other_job(tmp_path, "GPU-a") as (process, got):
        assert got == ["GPU-a"]
        with pytest.raises(UserError), take(server):
            pass
        process.kill()  # SIGKILL: it cannot tidy up
        process.wait()
        with take(server) as taken:
            assert uuids(taken) == ["GPU-a"]


def test_a_given_back_gpu_can_be_taken_again_and_a_failed_search_holds_none(take, told):
    server = FakeNvml(FakeGpu("GPU-a"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), take(server) as taken:
            assert uuids(taken) == ["GPU-a"]
            1 / 0
    told.stop_after = 0
    with pytest.raises(Stopped), take(server):
        pass


def test_the_lock_holds_across_containers(tmp_path, told):
    """Another container: other process ids, other mounts, the same folder at another place."""
    runs, inside = tmp_path / "runs", tmp_path / "inside"
    runs.mkdir()
    inside.mkdir()
    away = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    away += ["sh", "-c", f'mount --bind "{runs}" "{inside}" && exec "$@"', "sh"]
    if subprocess.run([*away, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces for us on this kernel")
    server = FakeNvml(FakeGpu("GPU-a"))
    tell = {"wait_state": told.wait_state, "say": told.lines.append, "leave": told.leave, "sleep": server.sleep}
    ours = taken_gpus(runs, "extract", RuntimeConfig(), nvml=server, environ={}, **tell)
    with ours, other_job(inside, "GPU-a", before=away) as (_, got):
        assert f"taken by our job extract (pid {os.getpid()} on " in got
    with other_job(inside, "GPU-a", before=away) as (_, got):
        assert got == ["GPU-a"]


def raises(handle, how):
    raise OSError(37, "No locks available")


@pytest.mark.parametrize("flock", [raises, lambda handle, how: None], ids=["no locks", "locks that lock nobody out"])
def test_where_locks_do_not_work_the_job_goes_on_and_says_so(take, told, monkeypatch, flock):
    """A file system without locks is not here: fcntl.flock plays one."""
    server = FakeNvml(FakeGpu("GPU-a"))
    monkeypatch.setattr(fcntl, "flock", flock)
    with take(server) as taken:
        assert uuids(taken) == ["GPU-a"]
    assert len([line for line in told.lines if line.startswith("no locks work in ")]) == 1


def test_a_lock_whose_owner_has_not_written_its_name_yet_is_a_lock(tmp_path, take):
    (tmp_path / ".gpus").mkdir()
    with (tmp_path / ".gpus" / "GPU-a.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="GPU 0 NVIDIA A100: taken by another job of ours"):
            take(FakeNvml(FakeGpu("GPU-a"))).__enter__()


# --- losing it


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "GPU is lost"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "GPU requires restart"),
        (pynvml.NVML_ERROR_NOT_FOUND, "Not Found"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_a_lost_gpu_is_noticed(take, code, text):
    gpu = FakeGpu("GPU-a")
    server = FakeNvml(gpu, FakeGpu("GPU-b", busy=90))
    with take(server) as taken:
        taken.check()
        gpu.error = code
        taken.check()  # asked again only after CHECK_S
        server.now += CHECK_S
        with pytest.raises(GpuLost, match=rf"GPU 0 NVIDIA A100 \(GPU-a\) is lost: {text}"):
            taken.check()


def test_a_mig_instance_that_was_taken_apart_is_lost_and_a_neighbours_gpu_is_not_ours(take):
    part = FakeGpu("MIG-a", 20, 19, None, "MIG 3g.20gb")
    whole, other = FakeGpu("GPU-a", instances=[part]), FakeGpu("GPU-b", busy=90)
    server = FakeNvml(whole, other)
    with take(server) as taken:
        other.error = pynvml.NVML_ERROR_GPU_IS_LOST
        taken.check()
        whole.instances = [None]
        server.now += CHECK_S
        with pytest.raises(GpuLost, match="Not Found"):
            taken.check()


def test_a_question_that_nvml_may_not_answer_is_no_loss(take):
    gpu = FakeGpu("GPU-a")
    server = FakeNvml(gpu)
    with take(server) as taken:
        gpu.error = pynvml.NVML_ERROR_NO_PERMISSION
        before = server.now
        for _ in range(100):
            server.now += 1
            taken.check()
        assert server.now == before + 100
