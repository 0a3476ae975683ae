"""What can go wrong for a user, and the exit codes that say so."""

DONE = 0  # finished, or nothing left to do
ACT = 2  # the user must act: the message says how
STOPPED = 75  # stopped politely (EX_TEMPFAIL): run the same command again


class UserError(Exception):
    """Something the user can mend: what is wrong and where, and what to do."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  fix: {self.fix}" if self.fix else self.what


class Missing(UserError):
    """What a job before this one should have left is not there, or a network's disk does not show it yet."""


class Diverged(UserError):
    """A training whose loss is no number any more."""


class NoRoom(UserError):
    """It does not fit into the memory that is there."""


class Stopped(Exception):
    """A signal or a STOP file asked the job to end; what is committed stays."""


class Pruned(Stopped):
    """This part of the job is given up, for it promises little; the job goes on."""
