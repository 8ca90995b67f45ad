from __future__ import annotations

import random

import pytest

from audit.verification_bias import Verified, sensitivity, specificity

# 1000 images, 100 with pneumonia; the model finds 80 of them and takes 90 others for one.
POSITIVE, NEGATIVE = Verified(170, 80, 90), Verified(830, 20, 810)


def test_all_verified_is_the_plain_table() -> None:
    found, cleared = sensitivity(POSITIVE, NEGATIVE), specificity(POSITIVE, NEGATIVE)
    assert found is not None
    assert cleared is not None
    assert (found.value, cleared.value) == pytest.approx((0.8, 0.9))
    assert found.interval is not None
    assert found.interval == pytest.approx((0.711, 0.867), abs=0.001)


def test_negative_answers_that_are_seldom_read_again_are_made_up_for() -> None:
    seldom = Verified(830, 2, 81)
    assert 80 / 82 > 0.97, "what is counted"
    found, cleared = sensitivity(POSITIVE, seldom), specificity(POSITIVE, seldom)
    assert found is not None
    assert found.value == pytest.approx(0.8)
    assert cleared is not None
    assert cleared.value == pytest.approx(0.9)
    assert found.interval is not None
    low, high = found.interval
    assert low < 0.55, "two images tell little"
    assert high > 0.9


def test_nothing_is_said_where_an_answer_was_never_read_again() -> None:
    unread = Verified(830, 0, 0)
    assert sensitivity(POSITIVE, unread) is None
    assert specificity(POSITIVE, unread) is None
    never_ill = Verified(170, 0, 90)
    assert sensitivity(never_ill, Verified(830, 0, 40)) is None


def test_an_empty_cell_gives_no_interval() -> None:
    found = sensitivity(POSITIVE, Verified(830, 0, 810))
    assert found is not None
    assert (found.value, found.interval) == (1.0, None)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Sampled: 9 of 10 positive answers read again, 2 of 10 negative ones."""
    dice, held, runs = random.Random(7), 0, 400  # noqa: S311 - a sample, no secret
    for _ in range(runs):
        table = {(positive, ill): 0 for positive in (True, False) for ill in (True, False)}
        answers = {True: 0, False: 0}
        for _ in range(1200):
            ill = dice.random() < 0.2
            positive = dice.random() < (0.8 if ill else 0.1)
            answers[positive] += 1
            if dice.random() < (0.9 if positive else 0.2):
                table[positive, ill] += 1
        found = sensitivity(
            Verified(answers[True], table[True, True], table[True, False]),
            Verified(answers[False], table[False, True], table[False, False]),
        )
        assert found is not None
        held += found.interval is not None and found.interval[0] <= 0.8 <= found.interval[1]
    assert 0.92 < held / runs < 0.98
