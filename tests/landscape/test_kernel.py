"""The kernel in C against the network in torch."""

import platform
import subprocess

import pytest
import torch

from basinscope.landscape import kernel
from basinscope.landscape.backend import choose_backend
from basinscope.landscape.kernel import KernelError, MLPKernel
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from basinscope.seeds import generator
from tests.reference import small_problem

# One unit, tiles of every height, more units than a tile, several logits, a wide input.
WIDTHS = [(2, 1), (1, 1, 1), (2, 3, 2), (3, 4, 5, 1), (2, 7, 13, 6, 10), (9, 23, 16, 26, 1)]


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path_factory, monkeypatch):
    """Libraries are built once for these tests, outside the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def _problem(widths, num_samples, dtype, num_rays=7):
    net, stream = MLP(widths), generator(0, "kernel", str(widths))
    size = net.layout.num_parameters
    inputs = torch.randn(num_samples, widths[0], generator=stream, dtype=dtype)
    center = torch.randn(size, generator=stream, dtype=dtype)
    directions = torch.randn(num_rays, size, generator=stream, dtype=dtype)
    rows = torch.randint(num_rays, (19,), generator=stream)
    distances = torch.randn(19, generator=stream, dtype=dtype)
    points = torch.addcmul(center, directions[rows], distances[:, None])
    return net, inputs, center, directions, rows, distances, net.logits(points, inputs[None])


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("num_samples", [1, 8, 17, 64, 65, 200])
def test_logits_are_those_of_the_network(widths, num_samples):
    net, inputs, center, directions, rows, distances, wanted = _problem(widths, num_samples, torch.float64)
    found = MLPKernel(net.widths, inputs).logits(center, directions, rows, distances)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_single_precision_is_served_too():
    net, inputs, center, directions, rows, distances, wanted = _problem(WIDTHS[-1], 50, torch.float32)
    found = MLPKernel(net.widths, inputs).logits(center, directions, rows, distances)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-4)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86")
@pytest.mark.parametrize("instructions", ["-msse2", "-mavx2"])
def test_narrower_registers_give_the_same_logits(instructions, monkeypatch, tmp_path):
    if instructions == "-mavx2" and "avx2" not in kernel._processor():
        pytest.skip("this processor has none")
    flags = [instructions if flag == "-march=native" else flag for flag in kernel._FLAGS]
    monkeypatch.setattr(kernel, "_FLAGS", tuple(flags))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    net, inputs, center, directions, rows, distances, wanted = _problem(WIDTHS[-1], 50, torch.float64)
    narrow = MLPKernel(net.widths, inputs)
    assert narrow._library.lanes() == (2 if instructions == "-msse2" else 4)
    torch.testing.assert_close(narrow.logits(center, directions, rows, distances), wanted, rtol=1e-12, atol=1e-12)


def test_neither_company_nor_threads_change_a_bit():
    net, inputs, center, directions, rows, distances, _ = _problem((2, 23, 16, 1), 40, torch.float32)
    one = MLPKernel(net.widths, inputs)
    together = one.logits(center, directions, rows, distances)
    alone = [one.logits(center, directions, rows[[k]], distances[[k]]) for k in range(len(rows))]
    assert torch.equal(torch.cat(alone), together)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(one.logits(center, directions, rows, distances), together)
    finally:
        torch.set_num_threads(threads)


def test_nan_and_infinity_are_passed_on():
    net, inputs, center, directions, *_ = _problem((2, 4, 4, 1), 5, torch.float64)
    directions[0, 0] = torch.nan
    directions[1, 0] = torch.inf
    found = MLPKernel(net.widths, inputs).logits(center, directions, torch.tensor([0, 1]), torch.ones(2))
    points = center + directions[:2]
    torch.testing.assert_close(found, net.logits(points, inputs[None]), equal_nan=True)
    assert found.isnan().any()


@pytest.mark.parametrize("widths", [(2, 5, 4, 1), (2, 5, 3), (2, 1)])
def test_a_compiled_loss_is_the_eager_one(widths):
    net, train, center = small_problem(widths)
    eager, compiled = CleanLoss(net, train), CleanLoss(net, train, backend="compiled")
    directions = torch.randn(30, len(center), generator=generator(0, "d"), dtype=torch.float64)
    distances = torch.linspace(-2, 2, 30, dtype=torch.float64)
    rows = torch.randint(30, (30,), generator=generator(0, "r"))
    for arguments in ((directions, distances), (directions, distances, rows)):
        found, wanted = compiled.along(center, *arguments), eager.along(center, *arguments)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(compiled.at(directions), eager.at(directions), rtol=1e-12, atol=0)
    assert compiled.num_evaluations == eager.num_evaluations
    assert compiled.at(directions[:0]).shape == (0,)


def test_more_points_than_the_kernel_hands_over_at_once(monkeypatch):
    monkeypatch.setattr("basinscope.landscape.stacked.KERNEL_CHUNK", 7)
    net, train, center = small_problem((2, 5, 4, 1))
    points = center + torch.randn(30, len(center), generator=generator(0, "d"), dtype=torch.float64)
    found = CleanLoss(net, train, backend="compiled").at(points)
    torch.testing.assert_close(found, CleanLoss(net, train).at(points), rtol=1e-12, atol=0)


def test_the_library_is_built_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inputs = torch.zeros(3, 2)
    MLPKernel((2, 1), inputs)
    kernel._library.cache_clear()
    compiled = []
    run = kernel._run
    monkeypatch.setattr(kernel, "_run", lambda command: compiled.append(command) or run(command))
    MLPKernel((2, 1), inputs)
    assert not compiled
    assert len(list((tmp_path / "basinscope").iterdir())) == 1


def test_a_library_cut_short_is_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel._build(_source(), "float", tmp_path / "basinscope").write_bytes(b"\x7fELF")
    assert MLPKernel((2, 1), torch.zeros(3, 2)).logits(
        torch.ones(3), torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1)
    ).tolist() == [[[1.0]] * 3]


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "basinscope").write_text("a file in the folder's place")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    MLPKernel((2, 1), torch.zeros(3, 2))
    assert (tmp_path / "basinscope").is_file()


def test_without_a_compiler_the_eager_way_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    net, train, center = small_problem((2, 5, 4, 1))
    with pytest.raises(KernelError, match="no-such-compiler"):
        CleanLoss(net, train, backend="compiled")
    choice = choose_backend(lambda backend: CleanLoss(net, train, backend=backend), center, planned=10**12)
    assert choice.backend == "eager"
    assert "KernelError" in choice.reason


def test_a_compiler_that_fails_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KernelError, match="false does not compile"):
        MLPKernel((2, 1), torch.zeros(3, 2))
    assert list((tmp_path / "basinscope").iterdir()) == []


def test_what_the_kernel_does_not_serve_is_said():
    with pytest.raises(KernelError, match="float16"):
        MLPKernel((2, 1), torch.zeros(3, 2, dtype=torch.float16))


def test_a_kernel_that_disagrees_is_not_used(monkeypatch):
    net, train, center = small_problem((2, 5, 4, 1))
    logits = MLPKernel.logits
    monkeypatch.setattr(MLPKernel, "logits", lambda *arguments: 2 * logits(*arguments))
    choice = choose_backend(lambda backend: CleanLoss(net, train, backend=backend), center, planned=10**12)
    assert choice.backend == "eager"
    assert "differ" in choice.reason


def test_the_source_compiles_without_a_warning(tmp_path):
    command = [*kernel._compiler(), *kernel._FLAGS, "-fopenmp", "-Wall", "-Wextra", "-Werror", "-DREAL=float"]
    subprocess.run([*command, str(_source()), "-o", str(tmp_path / "kernel.so")], check=True)


def _source():
    from importlib import resources
    from pathlib import Path

    return Path(str(resources.files("basinscope.landscape") / "kernel.c"))
