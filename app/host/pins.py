"""Which line of requirements/pins.json fits a driver and its GPUs: one torch, and so one CUDA, each.

NVIDIA's minor-version compatibility: CUDA 11 runs from driver 450.80.02 on, CUDA 12 from 525.60.13, CUDA 13 from
580.65.06. A wheel holds code for the GPUs ("sm") between its two numbers. Python 3.8, standard library only.
"""

import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OLDEST_PYTHON = (3, 11)
PINS = os.path.join(ROOT, "requirements", "pins.json")


def read_pins(path=PINS):
    """name -> {"torch", "numpy", "driver", "sm": [least, most], "gb": on disk}, the oldest first."""
    with open(path) as file:
        return json.load(file)


def newest(pins=None):
    return list(pins or read_pins())[-1]


def python_beyond(pin):
    """The first Python that is too new for this pin in a virtual environment: torch 2.0 has no wheels after 3.11."""
    return (3, 12) if read_pins()[pin]["torch"].startswith("2.0.") else (3, 14)


def fitting(driver, compute, pins=None):
    """The pins that run here, the newest first. driver: "535.104.05"; compute: ["8.0", ...] of the GPUs."""
    pins = pins or read_pins()
    return [name for name in reversed(list(pins)) if not why_not(name, driver, compute, pins)]


def why_not(name, driver, compute, pins=None):
    """Why a pin does not run with this driver and these GPUs, in words; "" where it does."""
    pin = (pins or read_pins())[name]
    if _numbers(driver) < _numbers(pin["driver"]):
        return "needs driver %s or later" % pin["driver"]
    least, most = pin["sm"]
    for one in compute:
        sm = int(one.replace(".", "")) if one.replace(".", "").isdigit() else None  # "[N/A]": an old nvidia-smi
        if sm is not None and (sm < least or (sm > most and sm // 10 > most // 10)):
            return "holds no code for a GPU of compute capability %s" % one
    return ""


def _numbers(version):
    return [int(part) for part in version.split(".") if part.isdigit()]
