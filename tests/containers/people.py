"""People who share one engine: numbers without a name in /etc/passwd, each with a checkout of their own."""

import grp
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Makefile", "Dockerfile", ".dockerignore", "docker-compose.yml", "docker-compose.gpu.yml", "app", "jobs",
         "configs", "requirements", "data")  # fmt: skip
PIN = "cu117"

LONG = "models: [crnn]\n  epochs: 3\n  checkpoint_minutes: 0.02"  # a training of half a minute on the demo's features


@dataclass
class Person:
    name: str
    uid: int
    home: Path
    plugins: str  # where docker's compose lies, "": where every user's lies

    @property
    def tree(self) -> Path:
        return self.home / "moksori"

    @property
    def runs(self) -> Path:
        return self.tree / "runs"

    def settle(self) -> None:
        self.tree.mkdir(parents=True)
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, self.tree / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / part, self.tree / part)
        demo = (ROOT / "configs/demo.yaml").read_text()
        (self.tree / "configs/long.yaml").write_text(demo.replace("epochs: 6", LONG))
        short = demo.replace("epochs: 6", "models: [crnn]\n  epochs: 1")
        (self.tree / "configs/pair.yaml").write_text(short.replace("runtime:\n", "runtime:\n  processes: 2\n"))
        if self.plugins:
            (self.home / ".docker").mkdir()
            (self.home / ".docker" / "cli-plugins").symlink_to(self.plugins)
        for path in [self.home, *self.home.rglob("*")]:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.tree,
            env={**self._environment(), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            user=self.uid,
            group=self.uid,
            extra_groups=[grp.getgrnam("docker").gr_gid],
        )

    def run(self, *words: str, seconds: float = 1500, **env: str) -> subprocess.CompletedProcess[str]:
        made = self.start(*words, **env)
        said = made.communicate(timeout=seconds)[0]
        return subprocess.CompletedProcess(words, made.returncode, said, "")

    def compose(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """As typed: docker compose run --rm train."""
        return self.run("docker", "compose", *words, **env)

    def make(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run("make", *words, **env)

    def docker(self, *words: str) -> str:
        done = self.run("docker", *words)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        known = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.home), "USER": self.name}
        kept = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
        certificates = {name: os.environ[name] for name in kept if name in os.environ}
        return {
            **known,
            **certificates,
            "LOGNAME": self.name,
            "LANG": "C.UTF-8",
            "RUNNER": "docker",
        }
