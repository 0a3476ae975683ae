"""A job may do a part of the shards, beside others of its kind that do theirs: an array of a scheduler, say."""

import re
from typing import NamedTuple

from app.errors import UserError

IN_PARTS = ("denoise", "extract", "infer")  # whose shards stand alone


class Part(NamedTuple):
    """The `number`th of `tasks`, from 0: every tasks-th shard, so that early and late ones are shared alike."""

    number: int
    tasks: int

    @property
    def name(self) -> str:
        """For files that are its own."""
        return f"part-{self.number:04d}-of-{self.tasks}"

    def __str__(self) -> str:
        return f"part {self.number} of {self.tasks}"


def part_of(text: str | None, job: str) -> Part | None:
    """ "3/8" as a Part; None for nothing. UserError for anything else, and for a job that is not done in parts."""
    if not text:
        return None
    numbers = re.fullmatch(r"(\d+)/(\d+)", text)
    if not numbers or int(numbers[1]) >= int(numbers[2]):
        raise UserError(f"PART={text} is no part", "PART=0/8 to PART=7/8: the shards of one of eight tasks")
    if job not in IN_PARTS:
        raise UserError(f"PART={text}: {job} is not done in parts", f"only {', '.join(IN_PARTS)}")
    return Part(int(numbers[1]), int(numbers[2]))
