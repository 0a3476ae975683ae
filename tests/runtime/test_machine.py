"""We use what we were given, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.runtime import machine

ROOT = Path(__file__).resolve().parents[2]


def test_cores_are_those_of_the_affinity_mask():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); from app.runtime import machine; print(machine.usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"/proc/self/cgroup": "0::/user/job\n", "/sys/fs/cgroup/user/job/cpu.max": "max 100000"}, []),
        ({"/proc/self/cgroup": "0::/user/job\n", "/sys/fs/cgroup/user/job/cpu.max": "150000 100000"}, [1.5]),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "200000 100000"}, [2.0]),  # an ancestor's binds
        (
            {
                "/proc/self/cgroup": "4:cpu,cpuacct:/job\n3:memory:/job\n",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000\n",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            [3.0],
        ),
        ({"/proc/self/cgroup": "4:cpu:/job\n", "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n"}, []),
        ({}, []),
    ],
)
def test_cgroup_quotas_are_read_in_both_versions(monkeypatch, files, cores):
    """The files stand in for cgroups that a test may not make."""
    monkeypatch.setattr(machine, "_read", lambda path: files.get(str(path), ""))
    assert machine._cgroup_limits() == cores


def test_a_quota_below_one_core_still_leaves_one(monkeypatch):
    monkeypatch.setattr(machine, "_cgroup_limits", lambda: [0.4])
    assert machine.usable_cores() == 1 and machine.workers_for(0) == 1


def test_workers_are_half_of_the_cores_unless_asked_for(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    assert machine.workers_for(0) == 4 and machine.workers_for(3) == 3 and machine.workers_for(20) == 20


def test_priority_is_lowered_and_the_oom_score_raised():
    code = (
        "from app.runtime.machine import lower_priority; lower_priority(19); import os;"
        "print(os.nice(0), open('/proc/self/oom_score_adj').read().strip())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["19", "500"]


def test_memory_of_children_is_counted_and_what_is_shared_only_once():
    code = """
import os, time
from app.runtime.machine import used_megabytes
block = bytearray(os.urandom(1000)) * 100_000   # 100 MB, shared after the fork
alone = sum(used_megabytes())
pid = os.fork()
if pid == 0:
    time.sleep(5); os._exit(0)
time.sleep(0.5)
shared = sum(used_megabytes())
os.kill(pid, 9); os.waitpid(pid, 0)
print(alone, shared)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    alone, shared = map(float, done.stdout.split())
    assert alone > 100 and shared < alone + 50


FREES = """
import resource, sys
import numpy as np
from app.runtime.machine import keep_freed_memory

if sys.argv[1] == "keeps":
    keep_freed_memory()
def clip():
    return sum(float(array.sum()) for array in [np.ones(400_000) for _ in range(6)])
clip()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    clip()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 50)
"""


def test_freed_memory_is_kept_for_the_next_clip():
    faults = {}
    for how in ("keeps", "does not"):
        done = subprocess.run([sys.executable, "-c", FREES, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["keeps"] < 20 < faults["does not"]
