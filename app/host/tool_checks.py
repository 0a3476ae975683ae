"""Docker, Podman, Apptainer, Slurm, and what outlives a login: rows (verdict, what, text, fix). Python 3.8."""

import getpass
import json
import os
import shutil

from app.host.ask import said
from app.host.docker import asked, compose_version

OLDEST_DOCKER, OLDEST_COMPOSE = (20, 10), (2, 6)
IMAGES_GB = 12.0  # to build one pin: the images and the cache of the build


def docker_facts():
    """What `docker info` says: {"trouble", "fix", "Runtimes", ...}; {} where there is no docker at all."""
    if not shutil.which("docker"):
        return {}
    _, answer, complaint = asked("info", "--format", "{{json .}}", seconds=10)
    facts = _parsed(answer)
    if not facts.get("ServerVersion"):
        trouble = complaint or " ".join(facts.get("ServerErrors") or []) or "no answer"
        if "permission denied" in trouble:
            return {
                "trouble": "is here, but you may not use its socket",
                "fix": "ask to be added to the group docker (it is as much as root), log in anew; or RUNNER=local",
            }
        return {"trouble": "is here, but no engine answers: " + trouble.splitlines()[-1].strip(),
                "fix": "sudo systemctl start docker, or RUNNER=local"}  # fmt: skip
    facts["compose"] = compose_version()
    return facts


def hands_out_gpus(facts):
    """Whether `docker run --gpus` works, as far as can be seen without trying."""
    names = " ".join([*(facts.get("Runtimes") or {}), *(str(d) for d in facts.get("DiscoveredDevices") or ())])
    hook = any(shutil.which(name) for name in ("nvidia-container-runtime-hook", "nvidia-container-toolkit"))
    return "nvidia" in names or hook


def docker_rows(facts, gpus):
    """gpus: how many this machine has."""
    if not facts:
        yield "note", "docker", "none: jobs run in a virtual environment (RUNNER=local)", ""
        return
    if facts.get("trouble"):
        yield "note", "docker", facts["trouble"], facts["fix"]
        return
    version = facts["ServerVersion"]
    text = "engine %s, cgroup v%s (%s)" % (version, facts.get("CgroupVersion", "?"), facts.get("CgroupDriver", "?"))
    text += ", rootless" if rootless(facts) else ""
    old = _numbers(version)[:2] < OLDEST_DOCKER
    yield "mend" if old else "ok", "docker", text, "20.10 or later is needed, or RUNNER=local" if old else ""
    if not facts["compose"]:
        fix = "put docker-compose v2 into ~/.docker/cli-plugins (docs/servers.md), or RUNNER=local"
        yield "note", "compose", "`docker compose` is missing", fix
    elif _numbers(facts["compose"])[:2] < OLDEST_COMPOSE:
        yield "note", "compose", "%s is older than 2.6" % facts["compose"], "put a newer one into ~/.docker/cli-plugins"
    else:
        yield "ok", "compose", facts["compose"], ""
    if gpus and not hands_out_gpus(facts):
        fix = "the administrator installs nvidia-container-toolkit; until then RUNNER=local computes on the GPU"
        yield "note", "nvidia", "Docker cannot give GPUs to containers: it has no NVIDIA runtime", fix
    elif gpus:
        text = "Docker gives GPUs to containers"
        if facts.get("CgroupDriver") == "systemd":
            text += "; should a `systemctl daemon-reload` take them away, the job ends with 75: start it again"
        yield "ok", "nvidia", text, ""
    place = facts.get("DockerRootDir", "")
    try:
        free = shutil.disk_usage(place).free / 1e9
        little = free < IMAGES_GB
        fix = "docker system df; docker builder prune; or ask the administrator" if little else ""
        yield "note" if little else "ok", "images", "%.1f GB free (%s)" % (free, place), fix
    except OSError:
        yield "note", "images", "the room for images (%s) cannot be seen from here" % place, ""


def rootless(facts):
    return any("rootless" in option for option in facts.get("SecurityOptions") or ())


def tool_rows():
    for name, words in (
        ("podman", ["podman", "--version"]),
        ("apptainer", ["apptainer", "--version"]),
        ("slurm", ["sinfo", "--version"]),
    ):
        if shutil.which(words[0]):
            answer = said(words)
            text = answer.splitlines()[0] if answer else "is installed, but does not answer"
            yield "ok" if answer else "note", name, text, ""
    if said(["systemctl", "--user", "show-environment"]) is None:
        yield "ok", "detached", "DETACH=1: a session of its own (no user units of systemd here)", ""
        return
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    linger = said(["loginctl", "show-user", user, "-p", "Linger"]) == "Linger=yes"
    text = "a user unit of systemd" if linger else "a session of its own; lingering is off (loginctl enable-linger)"
    yield "ok" if linger else "note", "detached", "DETACH=1: " + text, ""


def _parsed(text):
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {}


def _numbers(version):
    return tuple(int(part) for part in version.replace("-", ".").split(".") if part.isdigit())
