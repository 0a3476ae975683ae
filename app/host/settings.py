"""What .env holds: facts of this machine, renewed by the doctor, and choices, which stay as the user leaves them.

Python 3.8 or later, standard library only.
"""

import getpass
import hashlib
import os
import re

from app.host.env_file import read_env, write_env
from app.host.machine_checks import memory_gb
from app.host.tool_checks import hands_out_gpus, rootless

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENV = os.path.join(ROOT, ".env")
GPU_LOCKS = "/var/tmp/moksori-gpus"  # one place for all users of a machine, their containers too
NOTES = {
    "RUNNER": "Yours from here on, `make doctor` leaves it as it is.\n# docker, local, slurm; empty: docker, or local",
    "CUDA": "a line of requirements/pins.json that runs with this driver",
    "HOST_GPUS": "a job that cannot use them says so, rather than compute on the CPU without a word",
    "UID": "whose the files of containers are",
    "OWNER": "in the names of images and containers: users of one engine do not touch each other's",
    "COMPOSE_FILE": "with docker-compose.gpu.yml where Docker gives GPUs to containers",
    "DATA": "the corpus, read only, and what jobs make; empty: data and runs",
    "GPU_LOCKS": "GPUs are locked by UUID there: the same folder for all users of this machine",
    "CPUS": "most that a container may take: cores, memory, processes, shared memory",
    "CPU_SHARES": "of 1024: what a container gets beside others that want the cores too",
    "GID": "the group of the files of containers: a team's, if you like",
    "UMASK": "002, with a team's GID: the group may write to your runs",
    "CA_BUNDLE": "certificates of a network that opens TLS on its way, for building images",
}


def write_settings(docker, gpus, pin):
    """Writes .env. docker: tool_checks.docker_facts; gpus: how many the machine has; pin: a line of pins.json."""
    usable = bool(docker.get("ServerVersion") and docker.get("compose"))
    with_gpus = usable and gpus and hands_out_gpus(docker)
    uid, gid = identity(docker)
    owner, known, cores = owner_name(), read_env(ENV), len(os.sched_getaffinity(0))
    facts = {
        "CUDA": pin,
        "HOST_GPUS": gpus,
        "UID": uid,
        "DATA_GID": group_of(known.get("DATA") or "data", gid),
        "OWNER": owner,
        "COMPOSE_PROJECT_NAME": "moksori-" + owner,
        "COMPOSE_FILE": "docker-compose.yml" + (":docker-compose.gpu.yml" if with_gpus else ""),
    }
    if known.get("CPUS", "").isdigit() and int(known["CPUS"]) > cores:
        facts["CPUS"] = cores  # an engine refuses more than there are
    if known.get("GID", "").isdigit() and int(known["GID"]) not in (gid, *os.getgroups()):
        facts["GID"] = gid
    choices = {
        "RUNNER": "",
        "GID": gid,
        "DATA": "",
        "RUNS": "",
        "GPU_LOCKS": GPU_LOCKS,
        # a rootless engine may lack these controls: 0 is no limit
        "CPUS": cores if docker.get("CpuCfsQuota", True) else 0,
        "MEMORY": "%dg" % max(2, int(memory_gb() * 0.75)) if docker.get("MemoryLimit", True) else 0,
        "PIDS": 1024 if docker.get("PidsLimit", True) else 0,
        "SHM": "1g",
        "CPU_SHARES": 128,
        "UMASK": "",
        "TENSORBOARD_PORT": 6006 + uid % 500,
        "DASHBOARD_PORT": 8765 + uid % 500,
        "CA_BUNDLE": certificates(),
    }
    write_env(ENV, facts, choices, NOTES, (uid, gid) if under_sudo() else None)


def make_folders(values):
    """RUNS and the folder of GPU locks, before an engine makes them as root. Raises OSError."""
    make_folder(os.path.join(ROOT, values.get("RUNS") or "runs"))
    locks = values.get("GPU_LOCKS") or GPU_LOCKS
    if not os.path.isdir(locks):
        os.makedirs(locks)
        os.chmod(locks, 0o777)  # all users of this machine lock GPUs there


def make_folder(path):
    """With all above it that is missing; the caller's, also under sudo. Raises OSError."""
    path = os.path.abspath(path)
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    os.mkdir(path)
    if under_sudo():
        os.chown(path, *identity({}))


def under_sudo():
    return os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdigit()


def group_of(data, gid):
    """The group of the corpus, where we are in it: it may be readable for nobody else."""
    try:
        found = os.stat(os.path.join(ROOT, data)).st_gid
    except OSError:
        return gid
    return found if found in os.getgroups() else gid


def identity(docker):
    """uid and gid for containers: the caller's, also under sudo; 0 where the engine is rootless: that is us there."""
    if rootless(docker):
        return 0, 0
    if under_sudo():
        return int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID") or os.environ["SUDO_UID"])
    return os.getuid(), os.getgid()


def owner_name(root=ROOT):
    """USER-HASH of this folder: what an image's tag and a project's name may hold."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    user = re.sub(r"[^a-z0-9]+", "", user.lower()) or str(os.getuid())
    return "%s-%s" % (user[:20], hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:6])


def certificates():
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"):
        path = os.environ.get(name, "")
        if os.path.isfile(path):
            return path
    return "/dev/null"
