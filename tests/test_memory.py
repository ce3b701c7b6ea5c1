import pytest
import torch

from basinscope.errors import InputError
from basinscope.memory import told_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_every_way_of_running_out_becomes_one_line_that_names_the_setting(error: Exception) -> None:
    with pytest.raises(InputError, match=r"^measuring the net: out of memory; lower together$"):  # noqa: SIM117
        with told_of_memory("measuring the net", "together"):
            raise error


def test_the_allocator_s_own_words_are_known() -> None:
    with pytest.raises(InputError, match="lower together"):  # noqa: SIM117
        with told_of_memory("measuring", "together"):
            torch.empty(2**60, dtype=torch.uint8)


def test_other_faults_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):  # noqa: SIM117
        with told_of_memory("measuring", "together"):
            raise RuntimeError("shapes differ")
