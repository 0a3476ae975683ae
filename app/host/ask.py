"""Asks a command of this machine something: never waits for it long, and never fails itself. Python 3.8."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MISSING, HANGS = 127, 124  # exit codes, as a shell and timeout(1) have them


def ask(words, seconds=10, env=None):
    """(exit code, what it says, what it complains of), stripped; MISSING where there is no such command."""
    try:
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,  # a Ctrl-C is for the job, not for this question
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return HANGS, "", "%s did not answer within %d s" % (" ".join(words[:2]), seconds)
    except OSError as error:
        return MISSING, "", "%s: %s" % (words[0], error.strerror)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def said(words, seconds=10, env=None):
    """What it says, or None where it fails."""
    code, text, _ = ask(words, seconds, env)
    return text if code == 0 else None
