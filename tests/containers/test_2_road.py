"""The road of the demo, and what a container may and may not do."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from trainings import containers, wait_until

GPU_FILES = "docker-compose.yml:docker-compose.gpu.yml"

JOBS = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate")


def test_every_job_has_done_its_part(kim, road):
    assert all("done" in road[job] for job in JOBS)
    lines = (kim.runs / "demo" / "submission.csv").read_text().splitlines()
    assert lines[0] == "id,fake,real" and len(lines) == 25
    metrics = json.loads((kim.runs / "demo" / "metrics.json").read_text())
    assert "select" in json.dumps(metrics) and (kim.runs / "demo" / "report" / "index.html").exists()


def test_all_files_are_hers(kim, road):
    for path in [kim.runs, *kim.runs.rglob("*")]:
        assert (path.lstat().st_uid, path.lstat().st_gid) == (kim.uid, kim.uid), path


def test_done_again_nothing_is_computed(kim, road):
    done = kim.make("all", CONFIG="configs/demo.yaml", DATA="data/demo")
    assert done.returncode == 0 and done.stdout.count("done already") >= 5, done.stdout


def test_the_report_is_made_anew_and_two_models_are_compared(kim, road):
    done = kim.make("report", CONFIG="configs/demo.yaml", DATA="data/demo")
    assert done.returncode == 0 and "done already" not in done.stdout, done.stdout
    page = (kim.runs / "demo/report/index.html").read_text()
    assert page.count("<audio") == 12 and "Worst mistakes: test" in page
    done = kim.make("compare", RUNS_LIST="demo/crnn,demo/pooled_logistic", DATA="data/demo")
    assert done.returncode == 0 and "Official score (lower is better)" in done.stdout, done.stdout
    assert (kim.runs / "demo/report/beside-demo-pooled_logistic--crnn.html").stat().st_uid == kim.uid


def test_the_whole_chain_runs_as_one_container_too(kim, road):
    done = kim.compose("run", "--rm", "all", CONFIG="configs/demo.yaml", DATA="data/demo")
    assert done.returncode == 0 and "done already" in done.stdout, done.stdout


def test_an_earlier_stage_that_is_missing_is_named_with_its_command(kim, road):
    done = kim.compose("run", "--rm", "train", RUN="fresh", CONFIG="configs/demo.yaml", DATA="data/demo/train")
    assert done.returncode == 2 and "make " in done.stdout, done.stdout
    done = kim.compose("run", "--rm", "train", CONFIG="configs/nowhere.yaml")
    assert done.returncode == 2 and "nowhere.yaml" in done.stdout


def test_without_env_compose_says_what_to_do(kim):
    (kim.tree / ".env").rename(kim.tree / "env-away")
    try:
        done = kim.compose("run", "--rm", "train")
        assert done.returncode != 0 and "run make doctor" in done.stdout, done.stdout
    finally:
        (kim.tree / "env-away").rename(kim.tree / ".env")


def test_a_folder_that_is_missing_is_an_error_and_no_root_makes_it(kim):
    done = kim.compose("run", "--rm", "prepare", DATA="data/nowhere")
    assert done.returncode != 0 and "data/nowhere" in done.stdout and not (kim.tree / "data/nowhere").exists()
    done = kim.make("prepare", DATA="data/nowhere")
    assert done.returncode == 2 and "no such folder" in done.stdout and "fix:" in done.stdout


LOOK = """
for path in /opt/x /opt/moksori/x /data/x /etc/x; do (echo x > $path) 2>/dev/null && echo "wrote $path"; done
(echo x > /runs/.x && rm /runs/.x && echo x > /tmp/x) || echo "cannot write"
id -u; id -g
grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status
cat /proc/self/oom_score_adj; cat /proc/1/comm
ls /sys/class/net
df -m /dev/shm | tail -1 | awk '{print $2}'
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null
cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || echo 128
"""


@pytest.mark.parametrize("service", ["tool", "train"])
def test_what_a_container_may_do(kim, service):
    done = kim.compose(
        "run", "--rm", "-T", "--entrypoint", "sh", service, "-c", LOOK, MEMORY="3g", PIDS="321", DATA="data/demo"
    )
    assert done.returncode == 0 and "wrote" not in done.stdout and "cannot" not in done.stdout, done.stdout
    words = done.stdout.split()
    for wanted in (["CapEff:", "0" * 16], ["NoNewPrivs:", "1"], ["500"], ["docker-init"], ["lo"], ["1024"], ["321"],
                   [str(3 << 30)], ["128"]):  # fmt: skip
        at = words.index(wanted[0])
        assert words[at : at + len(wanted)] == wanted, done.stdout
    assert words[:2] == [str(kim.uid)] * 2
    assert not {word for word in words if word.startswith("eth")}


def test_recordings_and_configs_from_anywhere_are_given_to_the_container(kim, road):
    """Paths of this machine that no mount holds."""
    elsewhere = kim.home / "else where"
    elsewhere.mkdir(exist_ok=True)
    recording = sorted((kim.tree / "data/demo/test").iterdir())[0]
    (elsewhere / "one.ogg").write_bytes(recording.read_bytes())
    (elsewhere / "demo.yaml").write_text((kim.tree / "configs/demo.yaml").read_text())
    for path in [elsewhere, *elsewhere.iterdir()]:
        os.chown(path, kim.uid, kim.uid)
    done = kim.make("infer", f"INPUT={elsewhere}/one.ogg", f"CONFIG={elsewhere}/demo.yaml", "DATA=data/demo")
    assert done.returncode == 0 and "one" in done.stdout, done.stdout
    done = kim.make("infer", "INPUT=/nowhere.wav", "CONFIG=configs/demo.yaml")
    assert done.returncode == 2 and "INPUT=/nowhere.wav" in done.stdout
    done = kim.make("infer", "CONFIG=confg/demo.yaml")
    assert done.returncode == 2 and "CONFIG=confg/demo.yaml" in done.stdout
    assert not (kim.tree / "confg").exists()  # Docker would have made it, as root


def test_what_looks_after_jobs_runs_there_too(kim, road):
    status = kim.make("status", "RUN=demo")
    assert status.returncode == 0 and "train" in status.stdout and "done" in status.stdout, status.stdout
    out = kim.home / "packed" / "demo.tar"
    done = kim.make("pack", "RUN=demo", f"OUT={out}")
    assert done.returncode == 0, done.stdout
    assert out.stat().st_uid == out.parent.stat().st_uid == kim.uid
    done = kim.make("unpack", f"ARCHIVE={out}", "RUN=again")
    assert done.returncode == 0 and (kim.runs / "again" / "submission.csv").exists(), done.stdout
    done = kim.make("help-bundle", "RUN=demo")
    assert done.returncode == 0 and "doctor-host.txt" in done.stdout, done.stdout


def test_an_estimate_runs_there_too_and_leaves_no_container_when_it_is_ended(kim, road):
    process = kim.start("make", "estimate", "CONFIG=configs/demo.yaml", "DATA=data/demo", "RUN=guess")
    wait_until(lambda: containers(kim), process=process)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    wait_until(lambda: not containers(kim), 30)
    done = kim.make("estimate", "CONFIG=configs/demo.yaml", "DATA=data/demo", "RUN=guess")
    assert done.returncode == 0 and "extract" in done.stdout, done.stdout


def test_a_run_may_have_any_name(kim, road):
    done = kim.make("prepare", "CONFIG=configs/demo.yaml", "DATA=data/demo", "RUN=목소리")
    assert done.returncode == 0 and (kim.runs / "목소리" / "corpus.json").exists(), done.stdout


def test_whatever_has_torch_is_given_gpus_where_there_are_some(kim):
    done = kim.compose("--profile", "*", "config", "--format", "json", COMPOSE_FILE=GPU_FILES)
    services = json.loads(done.stdout[done.stdout.index("{") :])["services"]
    assert services, done.stdout
    for name, service in services.items():
        needs = not service["image"].startswith("moksori-prep:") and name not in ("evaluate", "report", "tensorboard")
        needs = needs or name == "dashboard"
        assert ("devices" in json.dumps(service.get("deploy", {}))) is needs, name


def test_a_team_may_write_to_each_others_runs(kim, road):
    done = kim.make("evaluate", "RUN=demo", "CONFIG=configs/demo.yaml", "DATA=data/demo", UMASK="002", RUNS="team")
    assert done.returncode == 2, done.stdout  # nothing is trained there, but the folders are made
    done = kim.make("prepare", "CONFIG=configs/demo.yaml", "DATA=data/demo", UMASK="002", RUNS="team")
    assert done.returncode == 0, done.stdout
    stages: list[Path] = list((kim.tree / "team" / "stages").rglob("*"))
    assert stages and all(path.stat().st_mode & 0o020 for path in stages if not path.is_symlink())


def test_two_processes_meet_without_a_network(kim, road):
    """Nobody knows a container's name there."""
    done = kim.make("train", "CONFIG=configs/pair.yaml", "DATA=data/demo", "WORKERS=2", "RUN=demo")
    assert done.returncode == 0 and "on 2 processes of the CPU" in done.stdout, done.stdout
    assert "after epoch 1" in done.stdout
