"""What this machine is and gives us, with a verdict on each, and .env from it: make doctor.

Every line is a fact; "note" is worth knowing, "mend" keeps jobs from running and comes with
what to do. Exit code 2 where something is to be mended. Python 3.8 or later, standard library only.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from app.host.disk_checks import room_rows, tried_rows  # noqa: E402
from app.host.env_file import read_env  # noqa: E402
from app.host.gpu_checks import chosen_pin, gpu_rows, pin_rows  # noqa: E402
from app.host.machine_checks import machine_rows  # noqa: E402
from app.host.nvidia_smi import look  # noqa: E402
from app.host.pins import newest  # noqa: E402
from app.host.settings import ENV, make_folders, write_settings  # noqa: E402
from app.host.tool_checks import docker_facts, docker_rows, tool_rows  # noqa: E402

NAMES = ("RUNNER", "CUDA", "COMPOSE_FILE", "DATA", "RUNS", "CPUS", "MEMORY")


def main():
    os.chdir(ROOT)
    known = read_env(ENV)
    runs = os.environ.get("RUNS") or known.get("RUNS") or "runs"
    wanted = os.environ.get("CUDA") or known.get("CUDA")
    fixes = 0
    found, docker = look(), docker_facts()
    pin = chosen_pin(found, wanted)[0] or newest()
    in_containers = bool(docker.get("ServerVersion") and docker.get("compose"))
    groups = (
        machine_rows(pin, in_containers),
        room_rows(runs),
        tried_rows(runs),
        gpu_rows(found),
        pin_rows(found, wanted),
        docker_rows(docker, len(found["gpus"])),
        tool_rows(),
    )
    for rows in groups:
        for verdict, what, text, fix in rows:
            print("%-5s %-10s %s" % (verdict, what, text))
            if fix:
                print("%-16s fix: %s" % ("", fix))
            fixes += verdict == "mend"
    if "--look" not in sys.argv[1:]:
        try:
            settle(found, docker)
            values = read_env(ENV)
            said = " ".join("%s=%s" % (name, values[name]) for name in NAMES if values.get(name))
            print("%-5s %-10s %s" % ("ok", ".env", said))
        except OSError as error:
            print("%-5s %-10s %s: %s" % ("mend", ".env", error.filename or ENV, error.strerror))
            fixes += 1
    print("doctor: %s" % ("%d things to mend" % fixes if fixes else "nothing stands in the way"))
    return 2 if fixes else 0


def settle(found=None, docker=None):
    """Writes .env from what is found here."""
    found, docker = found or look(), docker_facts() if docker is None else docker
    wanted = os.environ.get("CUDA") or read_env(ENV).get("CUDA")
    pin = chosen_pin(found, wanted)[0] or newest()
    write_settings(docker, len(found["gpus"]), pin)
    make_folders(
        {**read_env(ENV), **{name: os.environ[name] for name in ("RUNS", "GPU_LOCKS") if os.environ.get(name)}}
    )


if __name__ == "__main__":
    sys.exit(main())
