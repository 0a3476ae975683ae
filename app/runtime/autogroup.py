"""The share of our whole session: where the kernel groups tasks by session, nice alone acts only within ours."""

from pathlib import Path


def lower_autogroup(nice: int) -> None:
    """Gives this session's group the weight of `nice` (0 to 19). Everything in the session gets it, a shell too.

    So only for a job that has a session of its own. No rights are needed, nor is it an
    error where the kernel has no such groups. The kernel takes one change in 0.1 s of
    a user without rights; a second one is dropped.
    """
    try:
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        pass
