import importlib.util
import sys

if importlib.util.find_spec("pydantic") is None:
    sys.exit(
        f"jobs: {sys.executable} has none of Moksori's packages\n"
        "  fix: .venv/bin/python -m jobs..., which `make setup` fills (`make demo` does so too), or `make JOB`"
    )
if sys.argv[:1] == ["-m"]:
    # `python -m jobs.X`: to be heard from the first moment on. As PID 1 of a container a signal without a
    # handler is lost, and elsewhere it would end the job while it still imports.
    from app.runtime.stop import STOP

    STOP.listen()
