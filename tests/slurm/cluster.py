"""A throw-away Slurm of two nodes on this machine: its own munge, controller and daemons, all in one folder."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

CONF = """
ClusterName=moksori
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=10
MinJobAge=3600
SlurmdTimeout=10
ReturnToService=2
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
SlurmdParameters=config_overrides
MpiDefault=none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=8000
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=15 MaxTime=INFINITE State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""
TOOLS = ("slurmctld", "slurmd", "munged", "sbatch")


class Cluster:
    """Begun in `folder`; `env` leads Slurm's commands to it."""

    def __init__(self, folder: Path) -> None:
        _installed()
        folder.chmod(0o755)
        self.folder, self.env = folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "state").mkdir()
        ports = _free_ports(3)
        words = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": folder}
        numbers = dict(zip(("port", "first", "second"), ports, strict=True))
        (folder / "slurm.conf").write_text(CONF.format(**words, **numbers))
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        paths = [f"--{option}={folder}/munge.{ending}" for option, ending in files.items()]
        self._start("munged", ["munged", "--force", "--foreground", *paths])
        _wait((folder / "munge.sock").exists)
        self._start("slurmctld", ["slurmctld", "-D"])
        for node in ("n1", "n2"):
            self.start_node(node)
        _wait(lambda: self.ask("sinfo", "-h", "-o", "%D %t").split() == ["2", "idle"])

    def start_node(self, node: str) -> None:
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._start(node, ["slurmd", "-D", "-N", node])

    def kill_node(self, node: str) -> None:
        """Its daemon and all that it started; as if the machine had lost its power."""
        daemon = self._started.pop(node)
        for pid in _below(daemon.pid):
            _kill(pid)
        daemon.kill()
        daemon.wait()

    def ask(self, *words: str) -> str:
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, check=False)
        return done.stdout.strip() if not done.returncode else ""

    def states(self) -> dict[str, str]:
        """Job or task -> its state, of all that Slurm remembers."""
        lines = self.ask("squeue", "-h", "-a", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def wait(self, done, seconds: float = 120) -> None:
        _wait(done, seconds)

    def stop(self) -> None:
        self.ask("scancel", "-u", getpass.getuser())
        for name in ("n1", "n2", "slurmctld", "munged"):
            if process := self._started.pop(name, None):
                left = _below(process.pid)
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                for pid in left:
                    _kill(pid)

    def _start(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._started[name] = subprocess.Popen(words, env=self.env, stdout=out, stderr=out, start_new_session=True)


def _below(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass


def _wait(done, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _installed() -> None:
    """Root on Debian gets it; anybody else is told."""
    os.environ["PATH"] = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if all(map(shutil.which, TOOLS)):
        return
    if not Path("/etc/debian_version").exists() or os.getuid():
        pytest.fail("no Slurm here: sudo apt-get install slurm-wlm munge", pytrace=False)
    for words in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(["apt-get", "-qq", *words], env=quiet, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
