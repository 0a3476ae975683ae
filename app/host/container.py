"""One container of `docker compose run`: told what its client would keep for itself, and waited for whatever happens.

Python 3.8 or later, standard library only.
"""

import os
import secrets
import signal
import subprocess
import sys
import time

from app.host.docker import asked, state_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STOPPED = 75
LAUNCHER = "moksori.launcher"  # the label that tells a launcher its own container from another's of that name


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
        self.code = code_of(state)
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


def code_of(state):
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
