"""How long a run still takes, computed by hand."""

import pytest

from vizlib.explorer.remaining import Remaining, told


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("vizlib.explorer.remaining.monotonic", lambda: now[0])
    return now


def steps(remaining, clock, name, count, seconds, of=10):
    """What is said at each of a few steps, the first of which takes a minute longer."""
    found = []
    for step in range(count):
        clock[0] += seconds + (60 if step == 0 else 0)
        found.append(remaining(name, (step + 1) / of))
    return found


def test_the_third_step_tells_how_long_all_parts_take(clock):
    remaining = Remaining([("baseline", 30), ("made", 60)])
    assert steps(remaining, clock, "baseline", 4, 2) == [None, None, pytest.approx(7 * 2 + 20 * 2), pytest.approx(52)]


def test_the_next_part_is_counted_down_until_it_tells_its_own_speed(clock):
    remaining = Remaining([("baseline", 30), ("made", 30)])
    steps(remaining, clock, "baseline", 10, 2)
    assert remaining("saliency", 1.0) == pytest.approx(20)  # no part of it
    clock[0] += 5
    assert remaining("made", 0.1) == pytest.approx(15)
    clock[0] += 100
    assert remaining("made", 0.2) == 0
    clock[0] += 100
    assert remaining("made", 0.3) == pytest.approx(700)


def test_a_part_may_come_again_and_another_be_left_out(clock):
    remaining = Remaining([("statistics", 300), ("made", 10), ("made", 10)])
    steps(remaining, clock, "made", 10, 1)
    assert remaining("made", 1.0) == pytest.approx(10)
    assert steps(remaining, clock, "made", 3, 3)[-1] == pytest.approx(7 * 3)


def test_what_is_no_part_tells_nothing(clock):
    assert steps(Remaining([]), clock, "components", 4, 2) == [None] * 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "about 5 s left"), (38, "about 40 s left"), (97, "about 95 s left"), (119, "about 2 min left"),
     (3600, "about 60 min left")],
)  # fmt: skip
def test_told_in_words(seconds, text):
    assert told(seconds) == text
