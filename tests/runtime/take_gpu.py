"""A job of ours in a process of its own: takes GPUs of a fake server (no NVML here), says which, holds them."""

import json
import sys
from pathlib import Path

from app.config import RuntimeConfig
from app.errors import UserError
from app.runtime.gpus import taken_gpus
from tests.runtime.fake_nvml import FakeGpu, FakeNvml

if __name__ == "__main__":
    runs, uuids = Path(sys.argv[1]), sys.argv[2:]
    server = FakeNvml(*(FakeGpu(uuid) for uuid in uuids))
    try:
        with taken_gpus(
            runs,
            "train",
            RuntimeConfig(),
            wait_state=lambda why, since: None,
            say=lambda line: None,
            leave=lambda: None,
            nvml=server,
            environ={},
            sleep=server.sleep,
        ) as taken:
            print(json.dumps([gpu.uuid for gpu in taken.gpus]), flush=True)
            sys.stdin.readline()
    except UserError as error:
        print(json.dumps(str(error)), flush=True)
