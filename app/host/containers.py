"""Runs jobs in containers: docker compose as .env says, with what `docker compose run` leaves open.

A signal to `docker compose run` ends it and leaves its container at work: here it is told to the container.
A detached one comes back after a crash of the daemon. Paths of this machine are given to the container.
"""

import calendar
import hashlib
import json
import os
import socket
import subprocess
import sys
import time

from app.host.container import STOPPED, Container
from app.host.docker import asked, compose_version, engine_version, state_of
from app.host.images import ensure, refuse
from app.host.mounts import options_for_paths
from app.host.settings import GPU_LOCKS, group_of, make_folders, under_sudo

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENV = os.path.join(ROOT, ".env")
FIRST_S = 4.0  # what goes wrong at once goes wrong within this, and is shown
NEW_S = 120.0  # a container that was made but not started: by somebody just now, or left over
SERVICES = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate")


def answer():
    """Whether an engine answers us, and compose is there."""
    return bool(engine_version() and compose_version())


def problem(words):
    """What keeps jobs from running in containers: (what, fix), or None."""
    if not engine_version():
        complaint = asked("version", "--format", "{{.Server.Version}}", seconds=5)[2] or "no answer"
        if "permission denied" in complaint:
            return "you may not use Docker's socket", (
                "ask the administrator to add you to the group docker (then log in anew), or RUNNER=local"
            )
        what = "no Docker engine answers: %s" % complaint.splitlines()[-1]
        return what, "start it, or RUNNER=local; see `make doctor`"
    if not compose_version():
        return "this Docker has no `docker compose`", (
            "put the plugin docker-compose (version 2) into ~/.docker/cli-plugins, or RUNNER=local; see docs/servers.md"
        )
    return None


def prepare():
    """Whether .env and the folders are there; else they are made, or it is told what to do."""
    if not os.path.exists(ENV) or not os.environ.get("UID") or not os.environ.get("OWNER"):
        from app.host import doctor
        from app.host.env_file import take_up

        doctor.settle()
        take_up(ENV)
    for name, default in (("RUNS", "runs"), ("GPU_LOCKS", GPU_LOCKS)):
        os.environ[name] = os.path.abspath(os.path.join(ROOT, os.environ.get(name) or default))
    try:
        make_folders(os.environ)
    except OSError as error:
        refuse("%s: %s" % (error.filename, error.strerror), "RUNS=FOLDER, GPU_LOCKS=FOLDER: that you may write to")
        return False
    folder = os.path.join(os.environ["RUNS"], run_name())
    asked_for = os.environ.get("DATA") or _prepared(folder) or "data"
    data = os.path.abspath(os.path.join(ROOT, asked_for))
    if not os.path.isdir(data):
        refuse("DATA=%s: no such folder" % data, "DATA=FOLDER: the corpus, see docs/data.md")
        return False
    # the place as jobs note it, relative to the run: within a container all corpora lie in /data
    os.environ["DATA"], os.environ["DATA_PLACE"] = data, os.path.relpath(data, folder)
    os.environ["DATA_GID"] = str(group_of(data, os.environ["GID"]))
    return True


def run(job, ear, inside=False):
    """The job's exit code; negative: the signal that ended it."""
    name = name_of(job)
    words = _begin(job, name)
    if words is None:
        return 2
    while not ear.told_at:
        container = Container(name, ["-T", *words], subprocess.DEVNULL)
        ear.watch(container)
        state = container.end(ear)
        ear.watch(None)
        if not container.taken or ear.told_at or state.get("ExitCode") == 0:
            return container.code
        print("docker: the engine was away and took %s with it; it is started again" % job, file=sys.stderr)
    return STOPPED


def detach(jobs):
    """Starts a container that outlives the login and comes back after a crash of the daemon."""
    job = jobs[0] if len(jobs) == 1 else "all"
    if job == "all" and tuple(jobs) != SERVICES:
        return refuse("DETACH=1 takes one job, or make all", "make all DETACH=1")
    name = name_of(job)
    words = _begin(job, name)
    if words is None:
        return 2
    code, _, complaint = asked("compose", "run", "-d", "--no-deps", "--name", name, *words, seconds=120)
    if code:
        print("make %s: %s" % (job, complaint), file=sys.stderr)
        return 2
    # `docker compose run` leaves it out
    asked("update", "--restart", "on-failure:3", name)
    end = time.monotonic() + FIRST_S
    state = state_of(name) or {}
    while time.monotonic() < end and state.get("Running"):
        time.sleep(0.3)
        state = state_of(name) or {}
    if not state.get("Running") and not state.get("Restarting") and state.get("ExitCode"):
        print("make %s: it ended at once, exit code %d:" % (job, state["ExitCode"]), file=sys.stderr)
        sys.stderr.write("%s\n" % "\n".join(asked("logs", "--tail", "20", name)[1:]).strip())
        return 2
    run_of = "RUN=%s" % run_name()
    ended = "" if state.get("Running") else ", which has ended already"
    print("detached: %s of run %s, container %s%s" % (job, run_name(), name, ended))
    print(
        "  follow: make logs %s   (or docker logs -f %s)"
        % (run_of if job == "all" else "JOB=%s %s" % (job, run_of), name)
    )
    print("  state:  make status %s" % run_of)
    print("  stop:   make stop JOB=%s %s" % (job, run_of))
    return 0


def tool(name, ear):
    """Runs what looks after jobs in a container of its own; its exit code."""
    if name == "stop":
        _do_not_come_back()
    if name == "help_bundle":
        _note_doctor()
    if name == "dashboard":
        os.environ["DASHBOARD_PORT"] = os.environ.get("PORT") or os.environ.get("DASHBOARD_PORT") or "8765"
        os.environ["DASHBOARD_HOST"] = socket.gethostname().split(".")[0]
        words = _begin("dashboard", None)
        words = words and ["--service-ports", *words]
    else:
        service = "probe" if name in ("estimate", "profile", "leaks", "compare") else "tool"
        words = _begin(service, None, "jobs." + name)
    if words is None or ear.told_at:
        return 2
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    # on a terminal the client passes Ctrl-C on as a key
    container = Container(
        "%s-%s-%d" % (project(), name.replace("_", "-"), os.getpid()),
        words if terminal else ["-T", *words],
        None if terminal else subprocess.DEVNULL,
        session=not terminal,
    )
    ear.watch(container)
    container.end(ear)
    return container.code if container.code in (0, 1, 2) else 2


def project():
    return os.environ.get("COMPOSE_PROJECT_NAME") or "moksori"


def run_name():
    """The run that is meant, as jobs read it."""
    config = os.environ.get("CONFIG") or "configs/default.yaml"
    return os.environ.get("RUN") or os.path.splitext(os.path.basename(config))[0]


def name_of(job):
    """One container a job of a run: whoever starts it twice is told. Docker's names are ASCII, a run's need not be."""
    run = run_name()
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in run)
    if safe != run:
        safe += "-" + hashlib.sha256(run.encode()).hexdigest()[:6]
    return "%s-%s-%s" % (project(), safe, job)


def _begin(service, name, *words):
    """What `docker compose run` needs to know, once image and name are free for it; None: it was told why not."""
    if name:
        state = state_of(name)
        if state and (state.get("Running") or (state.get("Status") == "created" and not _old(state))):
            refuse(
                "container %s is at work already" % name,
                "make logs JOB=%s follows it, make stop JOB=%s ends it politely" % (service, service),
            )
            return None
        if state:
            asked("rm", "-f", name, seconds=60)
    if not ensure(service):
        return None
    mapped = options_for_paths(run_name())
    return None if mapped is None else [*mapped, service, *words]


def _do_not_come_back():
    """What is stopped by a STOP file ends with 75, which is no reason to start it again."""
    label = "label=com.docker.compose.project=" + project()
    names = asked("ps", "--filter", label, "--format", "{{.Names}}")[1].split()
    job, run_is_said = os.environ.get("JOB") or "all", os.environ.get("RUN") or os.environ.get("CONFIG")
    for name in names:
        meant = job == "all" or name.endswith(("-" + job, "-all"))
        ours = [name_of(one) for one in (*SERVICES, "report", "ladder", "sweep", "seeds", "all")]
        if meant and (name in ours or not run_is_said):
            asked("update", "--restart", "no", name)


def _prepared(folder):
    """Where the corpus lay that this run was prepared from, if it is still there."""
    try:
        with open(os.path.join(folder, "corpus.json")) as file:
            place = os.path.normpath(os.path.join(folder, json.load(file)["data"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return place if os.path.isdir(place) else None


def _old(state):
    """Whether a container that never started is left over, not about to start."""
    try:
        made = calendar.timegm(time.strptime(state["Created"][:19], "%Y-%m-%dT%H:%M:%S"))
    except (KeyError, ValueError):
        return True
    return time.time() - made > NEW_S


def _note_doctor():
    """Leaves in RUNS what the doctor sees here, for a container sees only itself."""
    doctor = [sys.executable, os.path.join(HERE, "doctor.py"), "--look"]
    path = os.path.join(os.environ["RUNS"], ".doctor.txt")
    with open(path, "w") as file:
        subprocess.run(doctor, stdout=file, stderr=subprocess.STDOUT, check=False)
    if under_sudo():
        os.chown(path, int(os.environ["UID"]), int(os.environ["GID"]))
