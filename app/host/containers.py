"""Runs jobs in containers: docker compose as .env says, with what `docker compose run` leaves open.

A signal to `docker compose run` ends it and leaves its container at work: here it is told to the container.
A detached one comes back after a crash of the daemon. Paths of this machine are given to the container.
"""

import calendar
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time

from app.host.docker import asked, compose_version, engine_version, state_of
from app.host.images import ensure, refuse
from app.host.settings import GPU_LOCKS, group_of, make_folder, make_folders, under_sudo

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENV = os.path.join(ROOT, ".env")
FIRST_S = 4.0  # what goes wrong at once goes wrong within this, and is shown
STOPPED = 75
NEW_S = 120.0  # a container that was made but not started: by somebody just now, or left over
LAUNCHER = "moksori.launcher"  # the label that tells a launcher its own container from another's of that name
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


class Container:
    """A container of `docker compose run`, which is told what its client would keep for itself."""

    def __init__(self, name, words, stdin, session=True):
        """words: what follows `docker compose run`; session: a Ctrl-C is told by us, not by the terminal."""
        self.name, self.mark = name, secrets.token_hex(8)
        self.code, self.taken = 2, False  # taken: the engine went away, and the container with it
        self._to_tell = []
        label = "%s=%s" % (LAUNCHER, self.mark)
        command = ["docker", "compose", "run", "--no-deps", "--label", label, "--name", name, *words]
        self.client = subprocess.Popen(command, cwd=ROOT, stdin=stdin, start_new_session=session)

    def tell(self, number, group=False):
        """A signal, as soon as the container can hear it; STOP and CONT pause it."""
        self._to_tell.append(number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self._pass_on()  # we may stand still in a moment

    def end(self, ear):
        """Its state once it has ended, however often client and engine go away meanwhile; then it is removed."""
        away, state = False, {}
        while True:
            self._pass_on()
            if self.client.poll() is None:
                try:
                    self.client.wait(0.3)
                except subprocess.TimeoutExpired:
                    pass
                continue
            state = state_of(self.name)
            if state is None:
                if not away:
                    print("docker: the engine does not answer; waiting for it", file=sys.stderr)
                away = True
                if ear.told_at:
                    self.code = STOPPED
                    return {}
                time.sleep(2)
            elif state.get("Labels", {}).get(LAUNCHER) != self.mark:
                self.code = self.client.returncode if state == {} and self.client.returncode == 130 else 2
                return {}  # it was never made, or the name is another's
            elif state.get("Running") or state.get("Restarting"):
                time.sleep(1)  # the client was ended, the job was not
            else:
                break
        # 255: containerd lost it
        self.taken = (away or state.get("ExitCode") == 255) and state.get("Status") != "created"
        self.code = _code_of(state)
        asked("rm", "-f", self.name, seconds=60)
        return state

    def _pass_on(self):
        while self._to_tell:
            number = self._to_tell[0]
            words = {signal.SIGSTOP: ["pause"], signal.SIGCONT: ["unpause"]}.get(number)
            words = words or ["kill", "--signal", signal.Signals(number).name]
            told = asked(*words, self.name)[0] == 0
            if not told and self.client.poll() is None:
                return  # it is being made: we come again
            self._to_tell.pop(0)


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
    words = _begin("probe" if name in ("estimate", "profile") else "tool", None, "jobs." + name)
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
    mapped = _paths()
    return None if mapped is None else [*mapped, service, *words]


def _paths():
    """Options that give the container what CONFIG, INPUT, OUT and ARCHIVE name on this machine; None: told why not."""
    options = []
    for name, folder, mode in (
        ("CONFIG", "/given/config", "ro"),
        ("INPUT", "/given/input", "ro"),
        ("ARCHIVE", "/given/archive", "ro"),
        ("OUT", "/given/out", "rw"),
    ):
        path = os.environ.get(name)
        if not path:
            continue
        full = os.path.realpath(os.path.join(ROOT, path))
        if mode == "ro" and not os.path.exists(full):
            refuse("%s=%s: no such file or folder" % (name, path), "%s=PATH: one that is there" % name)
            return None
        if ":" in full:
            refuse("%s=%s: Docker cannot mount a path with a colon" % (name, path), "%s=PATH: without one" % name)
            return None
        if mode == "rw":
            try:
                make_folder(os.path.dirname(full))
            except OSError as error:
                refuse("%s=%s: %s" % (name, path, error.strerror), "%s=FILE: in a place of yours" % name)
                return None
        options += _seen(name, full, folder, mode)
    if os.environ.get("CONFIG") and not os.environ.get("RUN"):
        options += ["-e", "RUN=" + run_name()]  # a link's name, not that of what it points to
    return options


def _seen(name, full, place, mode):
    """-e NAME=path within the container, and -v where it lies outside of what is mounted anyway."""
    mounts = ((os.environ["RUNS"], "/runs"), (os.environ["DATA"], "/data"), (os.path.join(ROOT, "configs"), "configs"))
    for host, inside in mounts:
        host = os.path.realpath(host)
        if full == host or full.startswith(host.rstrip("/") + "/"):
            if mode == "rw" and inside != "/runs":
                continue
            return ["-e", "%s=%s" % (name, os.path.normpath(os.path.join(inside, os.path.relpath(full, host))))]
    folder, last = (full, "") if os.path.isdir(full) else os.path.split(full)
    return ["-v", "%s:%s:%s" % (folder, place, mode), "-e", "%s=%s" % (name, os.path.join(place, last))]


def _code_of(state):
    code = state.get("ExitCode", 1)
    if state.get("Status") == "created":  # it never ran
        if "could not select device driver" in state.get("Error", ""):
            print(
                "docker: this engine cannot hand out GPUs (no NVIDIA container runtime)\n  fix: ask the administrator "
                "for nvidia-container-toolkit, then `make doctor`; RUNNER=local uses the GPU without Docker",
                file=sys.stderr,
            )
        return 2
    if state.get("OOMKilled") and code:
        print(
            "docker: the job was killed, it held more than MEMORY=%s\n  fix: fewer WORKERS, or more MEMORY in .env"
            % (os.environ.get("MEMORY") or "0"),
            file=sys.stderr,
        )
    return 128 - code if code - 128 in signal.valid_signals() else code


def _do_not_come_back():
    """What is stopped by a STOP file ends with 75, which is no reason to start it again."""
    label = "label=com.docker.compose.project=" + project()
    names = asked("ps", "--filter", label, "--format", "{{.Names}}")[1].split()
    job, run_is_said = os.environ.get("JOB") or "all", os.environ.get("RUN") or os.environ.get("CONFIG")
    for name in names:
        meant = job == "all" or name.endswith(("-" + job, "-all"))
        ours = [name_of(one) for one in (*SERVICES, "all")]
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
