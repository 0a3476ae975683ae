"""A Docker engine for these tests: the one that answers, or, for root on Debian, one that is installed and started."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BASE = "debian:bookworm-slim"
SUITE_WITH_COMPOSE = "trixie"  # bookworm has Compose v1 only
KEPT_CACHE = "6GB"  # of the build cache of an engine that is ours
HOOK = "nvidia-container-runtime-hook"


class NoEngine(Exception):
    """Why there is none here, in one line."""


class Engine:
    """Answers until `leave`. `own`: we started it, so it may be killed and restarted."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="moksori-engine-"))
        self.place.chmod(0o755)
        self.own = False
        self._daemon: subprocess.Popen | None = None
        self.config = os.environ.get("DOCKER_CONFIG", "")

    def enter(self) -> None:
        """Raises NoEngine. A step that fails on a machine where it should work is an error."""
        if not self._answers():
            _install()
            self.own = True
            self.start()
        if not self._has_compose():
            self._fetch_compose()
        if run("docker", "image", "inspect", BASE).returncode and run("docker", "pull", "-q", BASE).returncode:
            self._make_base()

    def start(self, gpu_hook: bool = False) -> None:
        """gpu_hook: a stand-in for NVIDIA's runtime hook lies in the daemon's PATH; it notes what it is told."""
        path = os.environ["PATH"]
        if gpu_hook:
            path = f"{self._make_hook()}:{path}"
        with (self.place / "dockerd.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                ["dockerd"], env={**os.environ, "PATH": path}, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 60
        while not self._answers():
            assert self._daemon.poll() is None and time.monotonic() < end, (self.place / "dockerd.log").read_text()[
                -3000:
            ]
            time.sleep(0.2)

    def end(self, number: int) -> None:
        """The daemon is told, and gone when this returns."""
        assert self._daemon
        self._daemon.send_signal(number)
        self._daemon.wait(90)
        if number == signal.SIGKILL:  # it has left its containerd behind
            time.sleep(1)
            for pid in _children_of_init("containerd"):
                os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 20
            while _children_of_init("containerd") and time.monotonic() < end:
                time.sleep(0.2)

    def told_to_hook(self) -> str:
        path = self.place / "hook-was-told"
        return path.read_text() if path.exists() else ""

    def leave(self) -> None:
        """Of an engine that is ours, takes away what has no name any more, and of the cache what is over a bound."""
        if self.own and self._answers():
            run("docker", "image", "prune", "-f", "--filter", "label=moksori.source")
            run("docker", "builder", "prune", "-f", "--keep-storage", KEPT_CACHE)
            self.end(signal.SIGTERM)
        shutil.rmtree(self.place, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        return {"DOCKER_CONFIG": self.config} if self.config else {}

    def plugins(self) -> str:
        return f"{self.config}/cli-plugins" if self.config else ""

    def _answers(self) -> bool:
        return run("docker", "version", "--format", "{{.Server.Version}}").returncode == 0

    def _has_compose(self) -> bool:
        done = run("docker", "compose", "version", "--short", **self.environment())
        return done.returncode == 0 and done.stdout.strip().startswith(("v2", "2"))

    def _fetch_compose(self) -> None:
        """Compose v2 and buildx as Debian packs them, from a newer suite, without touching this system's packages."""
        if not is_debian():
            raise NoEngine("`docker compose` is missing, and this is no Debian to fetch it from")
        apt, plugins = self.place / "apt", self.place / "config" / "cli-plugins"
        for folder in (apt / "lists" / "partial", apt / "cache" / "archives" / "partial", plugins):
            folder.mkdir(parents=True)
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        source = f"deb [signed-by={key}] {_mirror()} {SUITE_WITH_COMPOSE} main\n"
        (apt / "sources.list").write_text(source)
        settings = {"Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::State::lists": apt / "lists", "Dir::Cache": apt / "cache"}  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        must("apt-get", "-qq", *options, "update")
        must("apt-get", "-qq", *options, "download", "docker-compose", "docker-buildx", cwd=apt)
        for package in apt.glob("*.deb"):
            must("dpkg", "-x", str(package), str(apt / "files"))
        for plugin in (apt / "files" / "usr/libexec/docker/cli-plugins").iterdir():
            shutil.copy(plugin, plugins)
        shutil.rmtree(apt)
        self.config = str(plugins.parent)

    def _make_base(self) -> None:
        """What `docker pull` would bring, from packages: where no registry of images can be reached."""
        if not is_debian() or os.getuid():
            raise NoEngine(f"{BASE} cannot be pulled, and only root on Debian can make it from packages")
        must("apt-get", "install", "-y", "-qq", "debootstrap")
        root = self.place / "base"
        must("debootstrap", "--variant=minbase", "bookworm", str(root), _mirror())
        for waste in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(root / waste, ignore_errors=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        (root / "var/lib/apt/lists/partial").mkdir(parents=True)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", BASE], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(root)

    def _make_hook(self) -> Path:
        folder = self.place / "hook"
        folder.mkdir(exist_ok=True)
        bundle = 'sed \'s/.*"bundle":"\\([^"]*\\)".*/\\1/\''  # of the state that runc tells it
        text = f'#!/bin/sh\nplace=$(cat | {bundle})\ncat "$place/config.json" > {self.place}/hook-was-told\n'
        (folder / HOOK).write_text(text)
        (folder / HOOK).chmod(0o755)
        return folder


def run(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """As a shell would: a command that is not there is exit code 127."""
    try:
        return subprocess.run(
            words, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(words, 127, "", str(error))


def must(*words: str, cwd: Path | None = None) -> str:
    done = run(*words, cwd=cwd, DEBIAN_FRONTEND="noninteractive")
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def _install() -> None:
    if os.getuid() or not is_debian():
        raise NoEngine("no Docker engine answers, and only root on Debian can have one installed by these tests")
    if not shutil.which("dockerd"):
        must("apt-get", "update", "-qq")
        must("apt-get", "install", "-y", "-qq", "docker.io", "iptables")


def is_debian() -> bool:
    path = Path("/etc/os-release")
    return path.exists() and "ID=debian" in path.read_text().splitlines()


def _mirror() -> str:
    """Where this system's own packages come from."""
    for path in [*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")]:
        for line in path.read_text().splitlines() if path.exists() else ():
            if line.startswith("URIs:"):
                return line.split()[1]
            if line.startswith("deb "):
                return next(word for word in line.split() if word.startswith("http"))
    raise NoEngine("this Debian names no mirror")


def _children_of_init(name: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text()
        except OSError:
            continue
        if f"({name})" in words and words.rpartition(")")[2].split()[1] == "1":
            found.append(int(folder.name))
    return found
