"""What .env holds: facts of this machine, renewed by the doctor, and choices, which stay as the user leaves them.

Python 3.8 or later, standard library only.
"""

import getpass
import hashlib
import os
import re

from app.host.env_file import write_env
from app.host.machine_checks import memory_gb
from app.host.tool_checks import hands_out_gpus, rootless

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENV = os.path.join(ROOT, ".env")
NOTES = {
    "RUNNER": "Yours from here on, `make doctor` leaves it as it is.\n# docker or local; empty: docker where it works",
    "CUDA": "a line of requirements/pins.json that runs with this driver",
    "HOST_GPUS": "a job that cannot use them says so, rather than compute on the CPU without a word",
    "UID": "whose the files of containers are",
    "OWNER": "in the names of images and containers: users of one engine do not touch each other's",
    "COMPOSE_FILE": "with docker-compose.gpu.yml where Docker gives GPUs to containers",
    "DATA": "the corpus, read only, and what jobs make; empty: data and runs",
    "GPU_LOCKS": "GPUs are locked by UUID there: the same folder for all users of this machine",
    "CPUS": "most that a container may take: cores, memory, processes, shared memory",
    "CPU_SHARES": "of 1024: what a container gets beside others who want the cores too",
    "UMASK": "002, with the team's GID: the group may write to your runs",
    "CA_BUNDLE": "certificates of a network that opens TLS on its way, for building images",
}


def write_settings(docker, gpus, pin):
    """Writes .env. docker: tool_checks.docker_facts; gpus: how many the machine has; pin: a line of pins.json."""
    usable = bool(docker.get("ServerVersion") and docker.get("compose"))
    with_gpus = usable and gpus and hands_out_gpus(docker)
    uid, gid = identity(docker)
    owner = owner_name()
    facts = {
        "CUDA": pin,
        "HOST_GPUS": gpus,
        "UID": uid,
        "GID": gid,
        "OWNER": owner,
        "COMPOSE_PROJECT_NAME": "moksori-" + owner,
        "COMPOSE_FILE": "docker-compose.yml" + (":docker-compose.gpu.yml" if with_gpus else ""),
    }
    choices = {
        "RUNNER": "",
        "DATA": "",
        "RUNS": "",
        "GPU_LOCKS": "/var/tmp/moksori-gpus",
        "CPUS": len(os.sched_getaffinity(0)),
        "MEMORY": "%dg" % max(2, int(memory_gb() * 0.75)),
        "PIDS": 1024,
        "SHM": "1g",
        "CPU_SHARES": 128,
        "UMASK": "",
        "TENSORBOARD_PORT": 6006,
        "CA_BUNDLE": certificates(),
    }
    write_env(ENV, facts, choices, NOTES)


def identity(docker):
    """uid and gid for containers: the caller's, also under sudo; 0 where the engine is rootless: that is us there."""
    if rootless(docker):
        return 0, 0
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
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
