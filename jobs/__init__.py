import sys

if sys.argv[:1] == ["-m"]:
    # `python -m jobs.X`: to be heard from the first moment on. As PID 1 of a container a signal without a
    # handler is lost, and elsewhere it would end the job while it still imports.
    from app.runtime.stop import STOP

    STOP.listen()
