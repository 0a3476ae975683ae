"""Runs jobs in containers: docker compose as .env says, with what `docker compose run` leaves open.

A signal to `docker compose run` ends it and leaves its container at work: here it is told to the container.
A detached one comes back after a crash of the daemon. Paths of this machine are given to the container.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

from app.host.docker import asked, compose_version, engine_version, label_of, state_of

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENV = os.path.join(ROOT, ".env")
SOURCE = "moksori.source"  # the label that says what an image was built from
BUILT_FROM = ("Dockerfile", ".dockerignore", "app", "jobs", "requirements")
FIRST_S = 4.0  # what goes wrong at once goes wrong within this, and is shown
GRACE_S = 120
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
        return "no Docker engine answers: %s" % complaint.splitlines()[
            -1
        ], "start it, or RUNNER=local; see `make doctor`"
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
    for name, default in (("RUNS", "runs"), ("GPU_LOCKS", "/var/tmp/moksori-gpus")):
        folder = os.path.abspath(os.path.join(ROOT, os.environ.get(name) or default))
        os.environ[name] = folder
        try:
            if not os.path.isdir(folder):
                os.makedirs(folder)
                if name == "GPU_LOCKS":
                    os.chmod(folder, 0o777)  # all users of this machine lock GPUs there
        except OSError as error:
            return _refuse("%s=%s: %s" % (name, folder, error.strerror), "%s=FOLDER: one that you may write to" % name)
    folder = os.path.join(os.environ["RUNS"], run_name())
    asked_for = os.environ.get("DATA") or _prepared(folder) or "data"
    data = os.path.abspath(os.path.join(ROOT, asked_for))
    if not os.path.isdir(data):
        return _refuse("DATA=%s: no such folder" % data, "DATA=FOLDER: the corpus, see docs/data.md")
    # the place as jobs note it, relative to the run: within a container all corpora lie in /data
    os.environ["DATA"], os.environ["DATA_PLACE"] = data, os.path.relpath(data, folder)
    return True


def run(job, ear, inside=False):
    """The job's exit code; negative: the signal that ended it."""
    name = name_of(job)
    words = _begin(job, name)
    if words is None:
        return 2
    while True:
        client = subprocess.Popen(
            ["docker", "compose", "run", "-T", "--no-deps", "--name", name, *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is told to the container, by us
        )
        ear.watch(Container(name, client))
        client.wait()
        state = _ended(name, ear)
        ear.watch(None)
        asked("rm", "-f", name, seconds=60)
        if state.get("came_back") and not ear.told_at and state.get("ExitCode") != 0:
            print("docker: the engine was away and took %s with it; it is started again" % job, file=sys.stderr)
            continue
        return _code_of(state, client.returncode)


class Container:
    """A job at work in a container, to be told something."""

    def __init__(self, name, client):
        self.name, self.client = name, client

    def tell(self, number, group=False):
        if number in (signal.SIGSTOP, signal.SIGCONT):
            asked("pause" if number == signal.SIGSTOP else "unpause", self.name)
            return
        end = time.monotonic() + 10
        while time.monotonic() < end and self.client.poll() is None:
            # not there yet: it is being made
            if asked("kill", "--signal", signal.Signals(number).name, self.name)[0] == 0:
                return
            time.sleep(0.2)
        if self.client.poll() is not None:  # the client was ended, the container may be at work all the same
            asked("kill", "--signal", signal.Signals(number).name, self.name)


def detach(jobs):
    """Starts a container that outlives the login and comes back after a crash of the daemon."""
    job = jobs[0] if len(jobs) == 1 else "all"
    if job == "all" and tuple(jobs) != SERVICES:
        return 0 if _refuse("DETACH=1 takes one job, or make all", "make all DETACH=1") else 2
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


def tool(name):
    """Runs what looks after jobs in a container of its own; its exit code."""
    if name == "stop":
        _do_not_come_back()
    if name == "help_bundle":
        _note_doctor()
    words = _begin("tool", None, "jobs." + name)
    if words is None:
        return 2
    terminal = [] if sys.stdin.isatty() and sys.stderr.isatty() else ["-T"]
    os.chdir(ROOT)
    return subprocess.run(["docker", "compose", "run", "--rm", "--no-deps", *terminal, *words], check=False).returncode


def run_name():
    """The run that is meant, as jobs read it."""
    config = os.environ.get("CONFIG") or "configs/default.yaml"
    return os.environ.get("RUN") or os.path.splitext(os.path.basename(config))[0]


def name_of(job):
    """One container a job of a run: whoever starts it twice is told."""
    safe = "".join(c if c.isalnum() or c in "_.-" else "_" for c in run_name())
    return "%s-%s-%s" % (os.environ.get("COMPOSE_PROJECT_NAME") or "moksori", safe, job)


def digest():
    """Of all that an image is built from."""
    found = hashlib.sha256()
    for top in BUILT_FROM:
        path = os.path.join(ROOT, top)
        files = [path] if os.path.isfile(path) else []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            files += [os.path.join(folder, name) for name in sorted(names) if not name.endswith(".pyc")]
        for file in files:
            with open(file, "rb") as content:
                found.update(os.path.relpath(file, ROOT).encode() + b"\0" + content.read())
    return found.hexdigest()[:16]


def _begin(service, name, *words):
    """What `docker compose run` needs to know, once image and name are free for it; None: it was told why not."""
    if name:
        state = state_of(name)
        if state and state.get("Running"):
            _refuse(
                "container %s is at work already" % name,
                "make logs JOB=%s follows it, make stop JOB=%s ends it politely" % (service, service),
            )
            return None
        if state:
            asked("rm", "-f", name, seconds=60)
    if not _image(service):
        return None
    mapped = _paths()
    return None if mapped is None else [*mapped, service, *words]


def _image(service):
    """Whether the service's image is here and of this source; else it is built."""
    wanted = digest()
    os.environ["SOURCE"] = wanted
    code, said, complaint = asked("compose", "config", "--images", service, seconds=30)
    if code:
        return _refuse(
            complaint or "docker compose config failed", "mend .env or docker-compose.yml; `make doctor` renews .env"
        )
    image = said.split()[0]
    there = label_of(image, SOURCE)
    if there == wanted:
        return True
    why = "its sources have changed: some seconds" if there is not None else "the first time: minutes, 1 to 6 GB"
    print("docker: building %s (%s)" % (image, why), file=sys.stderr)
    done = subprocess.run(["docker", "compose", "build", service], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        return _refuse(
            "the image %s could not be built" % image,
            "mend what is said above; without a network, make image-save where there is one, make image-load here",
        )
    return True


def _paths():
    """Options that give the container what CONFIG, INPUT, OUT and ARCHIVE name on this machine; None: told why not."""
    options = []
    config = os.environ.get("CONFIG")
    if config:
        options += _seen("CONFIG", config, "/given/config", "ro")
    for name, folder, mode in (
        ("INPUT", "/given/input", "ro"),
        ("ARCHIVE", "/given/archive", "ro"),
        ("OUT", "/given/out", "rw"),
    ):
        path = os.environ.get(name)
        if path:
            if mode == "ro" and not os.path.exists(os.path.join(ROOT, path)):
                _refuse("%s=%s: no such file or folder" % (name, path), "%s=PATH: one that is there" % name)
                return None
            options += _seen(name, path, folder, mode)
    return options


def _seen(name, path, place, mode):
    """-e NAME=path within the container, and -v where it lies outside of what is mounted anyway."""
    full = os.path.abspath(os.path.join(ROOT, path))
    mounts = ((os.environ["RUNS"], "/runs"), (os.environ["DATA"], "/data"), (os.path.join(ROOT, "configs"), "configs"))
    for host, inside in mounts:
        if full == host or full.startswith(host.rstrip("/") + "/"):
            if mode == "rw" and inside != "/runs":
                continue
            return ["-e", "%s=%s" % (name, os.path.normpath(os.path.join(inside, os.path.relpath(full, host))))]
    folder, last = (full, "") if os.path.isdir(full) else os.path.split(full)
    return ["-v", "%s:%s:%s" % (folder, place, mode), "-e", "%s=%s" % (name, os.path.join(place, last))]


def _ended(name, ear):
    """The container's state once it has ended, however often the client or the engine goes away meanwhile."""
    away = False
    while True:
        state = state_of(name)
        if state is None:
            if not away:
                print("docker: the engine does not answer; waiting for it", file=sys.stderr)
            away = True
            time.sleep(2)
        elif not state.get("Running") and not state.get("Restarting"):
            return dict(state, came_back=away)
        else:
            asked("wait", name, seconds=3600)  # the client was ended, the job was not


def _code_of(state, client_code):
    if not state or state.get("Status") == "created":  # it never ran
        if "could not select device driver" in state.get("Error", ""):
            print(
                "docker: this engine cannot hand out GPUs (no NVIDIA container runtime)\n  fix: ask the administrator "
                "for nvidia-container-toolkit, then `make doctor`; RUNNER=local uses the GPU without Docker",
                file=sys.stderr,
            )
        return client_code if not state and client_code else 2
    code = state.get("ExitCode", 1)
    if state.get("OOMKilled"):
        print(
            "docker: the job was killed, it held more than MEMORY=%s\n  fix: fewer WORKERS, or more MEMORY in .env"
            % (os.environ.get("MEMORY") or "0"),
            file=sys.stderr,
        )
    return 128 - code if code > 128 else code


def _do_not_come_back():
    """What is stopped by a STOP file ends with 75, which is no reason to start it again."""
    project = os.environ.get("COMPOSE_PROJECT_NAME") or "moksori"
    names = asked("ps", "--filter", "label=com.docker.compose.project=" + project, "--format", "{{.Names}}")[1].split()
    job = os.environ.get("JOB") or "all"
    for name in names:
        if job == "all" or name.endswith(("-" + job, "-all")):
            asked("update", "--restart", "no", name)


def _prepared(folder):
    """Where the corpus lay that this run was prepared from, if it is still there."""
    try:
        with open(os.path.join(folder, "corpus.json")) as file:
            place = os.path.normpath(os.path.join(folder, json.load(file)["data"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return place if os.path.isdir(place) else None


def _note_doctor():
    """Leaves in RUNS what the doctor sees here, for a container sees only itself."""
    doctor = [sys.executable, os.path.join(HERE, "doctor.py"), "--look"]
    with open(os.path.join(os.environ["RUNS"], ".doctor.txt"), "w") as file:
        subprocess.run(doctor, stdout=file, stderr=subprocess.STDOUT, check=False)


def _refuse(what, fix):
    print("docker: %s\n  fix: %s" % (what, fix), file=sys.stderr)
    return False


def images():
    """Builds what all services need; an exit code."""
    os.environ["SOURCE"] = digest()
    return subprocess.run(["docker", "compose", "--profile", "jobs", "build"], cwd=ROOT, check=False).returncode


def image_names():
    return sorted(set(asked("compose", "--profile", "jobs", "config", "--images", seconds=30)[1].split()))
