import math

import numpy as np
import pytest
import scipy.stats

from gapo_trainer.stats import Mean, mean_of_seeds, mean_of_tasks, paired_test


def test_the_interval_of_a_few_seeds_is_students():
    mean = mean_of_seeds([1.0, 2.0, 3.0])
    assert mean.mean == 2.0
    assert mean.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3))  # t(0.975, 2) · s / √n
    assert math.isnan(mean_of_seeds([1.0]).low)


def test_the_bootstrap_covers_a_known_mean_and_repeats():
    values = np.random.default_rng(0).random(400)
    mean = mean_of_tasks(values)
    half = 1.96 * values.std() / 20
    assert mean.high - mean.mean == pytest.approx(half, rel=0.15)
    assert mean == mean_of_tasks(values)
    assert str(mean_of_tasks([1.0, 1.0])) == "1.000"


def test_the_paired_test_sees_what_pairing_shows():
    ours, theirs = [0.1, 0.5, 0.9, 0.3], [0.08, 0.47, 0.88, 0.27]
    test = paired_test(ours, theirs)
    assert test.difference.mean == pytest.approx(0.025)
    assert test.p < 0.01
    assert paired_test(ours, ours).p == 1.0
    assert math.isnan(paired_test([0.5], [0.5]).p)
    assert math.isnan(paired_test([0.5, 0.75], [0.25, 0.5]).p)  # every pair differs by the same: no spread to test by
    assert paired_test(theirs, ours).difference.high < 0


def test_differences_that_only_rounding_tells_apart_are_the_same():
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert math.isnan(paired_test([0.3, 0.2], [0.2, 0.1]).p)
    assert paired_test([0.1 + 0.2, 0.5], [0.3, 0.5]).p == 1.0


def test_a_mean_goes_through_a_log_row():
    row = Mean(0.5, 0.4, 0.6).to_row("em")
    assert row == {"em": 0.5, "em_low": 0.4, "em_high": 0.6}
    assert Mean.from_row(row, "em") == Mean(0.5, 0.4, 0.6)
    assert str(Mean.from_row({"em": 0.5, "em_low": None, "em_high": None}, "em")) == "0.500"


def test_the_paired_test_is_students_two_sided_one():
    ours, theirs = [0.1, 0.5, 0.9, 0.3], [0.2, 0.3, 0.8, 0.35]
    expected = scipy.stats.ttest_rel(ours, theirs).pvalue
    assert paired_test(ours, theirs).p == pytest.approx(expected)
    assert paired_test(theirs, ours).p == pytest.approx(expected)
