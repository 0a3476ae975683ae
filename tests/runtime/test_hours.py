"""The hours in which GPUs may be used."""

import time

import pytest

from app.errors import UserError
from app.runtime.hours import parse_hours


def at(clock):
    """Some day at this local time, in seconds since the epoch."""
    return time.mktime(time.strptime(f"2026-11-22 {clock}", "%Y-%m-%d %H:%M"))


@pytest.mark.parametrize(
    ("span", "clock", "allowed"),
    [
        ("20:00-08:00", "19:59", False),
        ("20:00-08:00", "20:00", True),
        ("20:00-08:00", "23:59", True),
        ("20:00-08:00", "00:00", True),
        ("20:00-08:00", "07:59", True),
        ("20:00-08:00", "08:00", False),
        ("9:30 - 17:00", "09:29", False),
        ("9:30 - 17:00", "16:59", True),
        ("9:30 - 17:00", "17:00", False),
        ("18:00-24:00", "23:59", True),
        ("18:00-24:00", "00:00", False),
    ],
)
def test_hours_may_wrap_midnight(span, clock, allowed):
    assert parse_hours(span).allow(at(clock)) is allowed


@pytest.mark.parametrize(
    "text", ["night", "20-8", "25:00-08:00", "20:00", "20:60-08:00", "08:00-08:00", "", "1:00-2:00x"]
)
def test_wrong_hours_name_the_key(text):
    with pytest.raises(UserError, match=r"runtime.gpu_hours: '"):
        parse_hours(text)


def test_no_hours_are_all_hours():
    assert parse_hours(None) is None
