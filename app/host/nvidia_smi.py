"""What nvidia-smi says, of old and new drivers: GPUs, who runs on them, or why it says nothing. Python 3.8."""

import os
import pwd

from app.host.ask import ask

NEW = ("index", "uuid", "name", "memory.used", "memory.total", "utilization.gpu", "driver_version", "compute_cap",
       "mig.mode.current")  # fmt: skip
# drivers before 510 do not tell compute capabilities, those before 450 know no MIG
OLDER, OLDEST = (*NEW[:-2], NEW[-1]), NEW[:-2]
# words of nvidia-smi -> what it means, what to do
TROUBLES = (
    ("version mismatch",
     "the driver was updated under the running system: its library and its kernel module differ",
     "a restart (or reloading the nvidia modules) by the administrator mends it; until then DEVICE=cpu"),
    ("couldn't communicate with the NVIDIA driver",
     "nvidia-smi is here, but no driver runs (not loaded, or not built for this kernel)",
     "the administrator: is the kernel newer than the driver? until then DEVICE=cpu"),
    ("Unknown Error",
     "NVML is shut out: in a container after a `systemctl daemon-reload` on the host",
     "start the container anew; lasting: nvidia-container-toolkit 1.17 or later with CDI"),
    ("Insufficient Permissions",
     "the GPU's devices may not be opened",
     "the administrator: /dev/nvidia* for your group (often video), or the cluster gives GPUs to jobs only"),
    ("GPU is lost", "a GPU has fallen off the bus", "the administrator: the machine needs a restart"),
)  # fmt: skip


def look(asked=None):
    """{"tool", "trouble", "fix", "driver", "gpus": [{"index", "uuid", "name", ..., "users", "parts"}]}.

    asked: words -> (exit code, text); the tests hand in what was recorded. trouble: "" where all is well.
    """
    asked = asked or _ask
    gpus: list = []
    found = {"tool": True, "trouble": "", "fix": "", "driver": "", "gpus": gpus}
    for fields in (NEW, OLDER, OLDEST):
        code, text = asked(_query(fields))
        if not code or "not a valid field" not in text:
            break
    if code == 127:
        return dict(found, tool=False)
    if code or not text.strip() or "No devices were found" in text:
        return dict(found, **_trouble(text))
    for line in text.strip().splitlines():
        values = [value.strip() for value in line.split(", ")]
        if len(values) != len(fields):  # a GPU in trouble, told amidst the others
            found.update(_trouble(line))
            continue
        gpu = dict(zip(fields, values), users=[], parts=[])  # noqa: B905 - Python 3.8
        found["driver"] = gpu["driver_version"]
        gpus.append(gpu)
    if not gpus:
        return dict(found, **_trouble(text))
    _add_users(gpus, asked)
    if any(gpu.get("mig.mode.current") == "Enabled" for gpu in gpus):
        _add_parts(gpus, asked)
    return found


def compute(found):
    """Compute capabilities of the GPUs that training is for, ["8.0", ...]; [] where the driver does not tell them."""
    return [gpu["compute_cap"] for gpu in found["gpus"] if "compute_cap" in gpu and gpu not in small(found)]


def small(found):
    """GPUs with less than half of the largest one's memory: for a screen, beside the others."""
    sizes = [int(gpu["memory.total"]) for gpu in found["gpus"] if gpu["memory.total"].isdigit()]
    most = max(sizes, default=0)
    return [gpu for gpu in found["gpus"] if gpu["memory.total"].isdigit() and 2 * int(gpu["memory.total"]) < most]


def _trouble(text):
    for words, what, fix in TROUBLES:
        if words.lower() in text.lower():
            return {"trouble": what, "fix": fix}
    if "No devices were found" in text:
        return {"trouble": "the driver finds no GPU", "fix": "the administrator: `dmesg | grep -i nvrm`"}
    last = (text.strip().splitlines() or ["nothing"])[-1]
    return {"trouble": "nvidia-smi does not answer: %s" % last, "fix": "ask the administrator, or use DEVICE=cpu"}


def _add_users(gpus, asked):
    code, text = asked(["--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv,noheader,nounits"])
    for line in text.splitlines() if code == 0 else ():
        parts = [part.strip() for part in line.split(",")]
        for gpu in gpus:
            if len(parts) == 3 and parts[0] == gpu["uuid"]:
                gpu["users"].append("%s (process %s, %s MB)" % (_owner(parts[1]), parts[1], parts[2]))


def _add_parts(gpus, asked):
    """MIG instances: nvidia-smi -L lists them below their GPU."""
    code, text = asked(["-L"])
    here = None
    for line in text.splitlines() if code == 0 else ():
        for gpu in gpus:
            if line.startswith("GPU ") and gpu["uuid"] in line:
                here = gpu
        if line.lstrip().startswith("MIG ") and here is not None:
            here["parts"].append(line.split("Device")[0].strip() + " " + line.split("UUID:")[-1].strip(" )"))


def _owner(pid):
    try:
        return pwd.getpwuid(os.stat("/proc/%s" % pid).st_uid).pw_name
    except (OSError, KeyError):
        return "somebody"


def _query(fields):
    return ["--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]


def _ask(words):
    code, text, complaint = ask(["nvidia-smi", *words], seconds=20)
    return code, text + complaint
