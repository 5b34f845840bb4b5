"""What the op's tests share."""

import pytest
import torch
from end_of_device import end_if_lost


def pytest_collection_modifyitems(items):
    """The GPU backends' files first: their tests take minutes, and one that began last would run alone."""
    items.sort(key=lambda item: item.path.parent.name not in ("cuda", "triton_backend"))


@pytest.hookimpl(trylast=True)  # after pytest-xdist has sent the report
def pytest_runtest_logreport(report):
    if report.failed:
        end_if_lost(report.nodeid, report.longreprtext)


@pytest.fixture
def poisoned_memory():
    """Fresh tensors are full of NaN, so that a result that is not written everywhere shows."""
    deterministic, fill = (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.utils.deterministic.fill_uninitialized_memory = fill
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def one_thread():
    """torch computes on one thread; behind the test it has as many again as before, however many that set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
