"""One thread for torch's arithmetic: tests share a small machine. Import ``one_thread`` where it shall hold."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
