"""A GPU that is gone ends the job as a stop does: the same command goes on, on whatever GPU it then finds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from app.compat import is_gpu_lost
from app.errors import Stopped


@contextmanager
def leaving_a_lost_gpu(rescue: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turns the error of a lost GPU into Stopped, after `rescue`, which may fail: much of what it needs is lost too."""
    try:
        yield
    except RuntimeError as error:
        if not is_gpu_lost(error):
            raise
        with suppress(Exception):
            rescue()
        raise Stopped(f"the GPU was lost: {str(error).splitlines()[0]}") from error
