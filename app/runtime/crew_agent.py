"""torchrun, which starts the members of a crew, begins them again when one dies, and ends with its job.

A logout, a scheduler or a shutdown may send a stop signal to all processes of a job. It is the job that hears it, and
tells the members at their next breath: here and in them it is blocked.
"""

import signal
import sys

from app.runtime.member import ends_with_parent
from app.runtime.stop import STOP_SIGNALS

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    ends_with_parent()
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.run import main

    try:
        main(sys.argv[1:])
    except SignalException as told:  # by its job, which knows why
        sys.exit(128 + told.sigval)
