"""GPUs, who uses them, and which pin fits: rows (verdict, what, text, fix) for the doctor. Python 3.8."""

import os

from app.host.nvidia_smi import compute, small
from app.host.pins import fitting, newest, read_pins, why_not


def gpu_rows(found):
    """One row a GPU, or why there is none. found: what nvidia_smi.look returns."""
    if not found["tool"]:
        if os.path.isdir("/proc/driver/nvidia/gpus"):
            yield "mend", "gpu", "a driver runs here, but nvidia-smi is missing", "install nvidia-utils, or DEVICE=cpu"
        else:
            yield "note", "gpu", "no nvidia-smi: jobs run on the CPU", ""
        return
    if found["trouble"]:
        yield "mend", "gpu", found["trouble"], found["fix"]
    for gpu in found["gpus"]:
        busy = gpu["utilization.gpu"]
        text = "%s, %s of %s MB used, %s busy, driver %s" % (
            gpu["name"], gpu["memory.used"], gpu["memory.total"],
            busy + " %" if busy.isdigit() else "unknown how", gpu["driver_version"],
        )  # fmt: skip
        if gpu["users"]:
            text += "; used by " + ", ".join(gpu["users"])
        yield "ok", "gpu " + gpu["index"], text, ""
        if gpu.get("mig.mode.current") == "Enabled":
            parts = "; ".join(gpu["parts"])
            fix = "" if parts else "the administrator makes instances: nvidia-smi mig -cgi ... -C"
            yield "ok" if parts else "mend", "  mig", parts or "MIG is on and there is no instance to use", fix
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield "note", "gpu", "CUDA_VISIBLE_DEVICES=%s" % visible, ""


def chosen_pin(found, wanted=None):
    """(pin, why): `wanted` where it runs here, else the newest that does; (None, why) where none does."""
    pins = read_pins()
    wanted = wanted if wanted in pins else None
    if not found["gpus"]:
        return wanted or newest(pins), "no GPU to fit: %s" % ("as .env says" if wanted else "the newest")
    driver, sm = found["driver"], compute(found)
    fits = fitting(driver, sm, pins)
    if wanted in fits:
        return wanted, "as .env says, and it runs with driver %s" % driver
    if not fits:
        return None, "; ".join("%s %s" % (name, why_not(name, driver, sm, pins)) for name in pins)
    newer = [name for name in pins if name not in fits and list(pins).index(name) > list(pins).index(fits[0])]
    why = "the newest that runs with driver %s" % driver
    if newer:
        why += "; %s %s" % (newer[0], why_not(newer[0], driver, sm, pins))
    return fits[0], why


def pin_rows(found, wanted=None):
    pin, why = chosen_pin(found, wanted)
    if pin is None:
        oldest = next(iter(read_pins().values()))["driver"]
        old = why.count("needs driver") == len(read_pins())
        fix = "the administrator: a driver of %s or later; until then DEVICE=cpu" % oldest if old else "DEVICE=cpu"
        yield "mend", "cuda", why, fix
        return
    note = "note" if wanted and pin != wanted else "ok"
    was = "; .env said %s, which does not run here" % wanted if note == "note" else ""
    yield note, "cuda", "%s, torch %s: %s%s" % (pin, read_pins()[pin]["torch"], why, was), ""
    beside = [gpu for gpu in small(found) if why_not(pin, found["driver"], [gpu.get("compute_cap", "")])]
    for gpu in beside:
        others = [one["index"] for one in found["gpus"] if one not in beside]
        named = ",".join(others) + "," * (len(others) == 1)  # a number alone would be how many
        text = "GPU %s %s is not run by %s" % (gpu["index"], gpu["name"], pin)
        yield "note", "cuda", text, "GPUS=%s in .env keeps jobs to the others" % named
