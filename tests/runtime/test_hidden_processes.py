"""A server whose /proc hides the processes of others (hidepid), which only root can play: a mount of our own."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = """
import os, psutil, subprocess, sys
from pathlib import Path
from app.runtime.files import clear_torn
from app.runtime.machine import used_megabytes
from app.runtime.status import read_status
subprocess.run(["mount", "-t", "proc", "-o", "hidepid=" + sys.argv[2], "proc", "/proc"], check=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    psutil.Process(os.getppid()).create_time()
    sys.exit("nothing is hidden")
except psutil.Error:
    pass
clear_torn(Path(sys.argv[1]))
print([status["state"] for status in read_status(Path(sys.argv[1]))], used_megabytes()[0] >= 0)
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="only root can mount a /proc that hides")
@pytest.mark.parametrize("hides", ["1", "2"])
def test_a_living_job_of_somebody_else_is_at_work(tmp_path, hides):
    with subprocess.Popen(["sleep", "60"]) as job:
        try:
            code = "from app.runtime.files import here; print(here())"
            where = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
            draft = tmp_path / f".a.json@{where.stdout.strip()}@{job.pid}@ab"
            draft.touch()
            (tmp_path / "status").mkdir()
            values = {"state": "running", "pid": job.pid, "where": where.stdout.strip(), "started": time.time()}
            for name, changes in {"fresh": {}, "silent": {"updated": 0.0}, "gone": {"pid": 2**22 - 7}}.items():
                status = {**values, "updated": time.time(), **changes}
                (tmp_path / "status" / f"{name}.json").write_text(json.dumps(status))
            for path in (tmp_path, *tmp_path.parents):
                if path.owner() == "root" and path.is_relative_to("/tmp") and path != Path("/tmp"):
                    path.chmod(0o777)
            words = ["unshare", "-m", sys.executable, "-c", NOBODY, str(tmp_path), hides]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == "['running', 'stale', 'stale'] True"
            assert draft.exists()
        finally:
            job.kill()
