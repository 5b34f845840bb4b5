import pytest

from gapo_trainer.config import load_config
from gapo_trainer.sampler import TaskSampler
from gapo_trainer.schedule import learning_rate


def test_every_task_comes_once_an_epoch_in_another_order():
    sampler = TaskSampler(10, seed=0)
    first, second = sampler.take(10), sampler.take(10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_position_is_the_whole_state():
    whole = TaskSampler(7, seed=3).take(20)
    sampler = TaskSampler(7, seed=3)
    sampler.take(9)
    assert TaskSampler(7, seed=3, position=sampler.position).take(11) == whole[9:]


def test_one_task_is_enough_and_an_empty_set_is_refused():
    assert TaskSampler(1, 0).take(3) == [0, 0, 0]
    with pytest.raises(ValueError, match="size >= 1, got 0"):
        TaskSampler(0, 0)


def test_the_learning_rate_warms_up_and_falls_to_its_floor():
    config = load_config(lr=1.0, warmup_steps=4, steps=24, min_lr=0.1)
    rates = [learning_rate(step, config) for step in range(24)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[14] == pytest.approx(0.55)  # half way down the cosine
    assert rates[23] == pytest.approx(0.1, abs=0.01)
    assert learning_rate(20, load_config(lr=1.0, warmup_steps=4, steps=24, schedule="constant")) == 1.0


def test_a_constant_rate_warms_up_too():
    config = load_config(lr=1.0, warmup_steps=4, steps=24, schedule="constant")
    assert [learning_rate(step, config) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_another_seed_is_no_later_epoch():
    first = TaskSampler(50, 0)
    first.take(50)
    assert first.take(50) != TaskSampler(50, 1).take(50)
