"""Evaluates a fully connected ReLU network at many parameter vectors, in C compiled for the local CPU.

Torch's batched products of small matrices reach about half of the processor's peak, and write every layer's outputs to
memory. Here all of a point's computation stays in the first-level cache. The compiled library is stored in the user's
cache folder; building it takes about a second.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

_TYPES = {torch.float32: "float", torch.float64: "double"}
_FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-std=gnu11", "-shared", "-fPIC")
_WIDEST_REGISTER = 64
"""Bytes of the widest vector register; alignment of sample blocks."""
_POINTS_PER_THREAD = 4
"""Smallest number of points per thread: below it, another thread does not pay."""


class KernelError(RuntimeError):
    """The kernel cannot be built or loaded here."""


def cache_folder() -> Path:
    """Folder of compiled libraries: `basinscope` in the user's cache folder."""
    home = Path.home()
    default = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or default) / "basinscope"


def _compiler() -> list[str]:
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["gcc"], ["clang"]]
    for command in wanted:
        if command and shutil.which(command[0]):
            return command
    raise KernelError(f"no C compiler found ({', '.join(' '.join(command) for command in wanted)})")


@cache
def _processor() -> str:
    """Description of the processor, as far as `-march=native` depends on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"{command[0]} does not run ({type(error).__name__})") from error


def _library_path(source: Path, real: str, folder: Path, compiler: list[str]) -> Path:
    """Path of the library built from this source by this compiler for this processor."""
    program = Path(shutil.which(compiler[0]) or compiler[0]).resolve()
    # Size and time identify the version; running `cc --version` would take milliseconds.
    version = f"{program} {program.stat().st_size} {program.stat().st_mtime_ns}" if program.exists() else ""
    facts = "\0".join([source.read_text(encoding="utf-8"), real, *_FLAGS, *compiler, version, _processor()])
    return folder / f"kernel-{real}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.so"


def is_built(dtype: torch.dtype) -> bool:
    """Whether the kernel for a dtype has already been built by this compiler for this processor."""
    real = _TYPES.get(dtype)
    if real is None:
        return False
    try:
        with resources.as_file(resources.files("basinscope.landscape") / "kernel.c") as source:
            return _library_path(source, real, cache_folder(), _compiler()).exists()
    except (OSError, KernelError):
        return False


def _build(source: Path, real: str, folder: Path) -> Path:
    """Compile the library unless it is already in the folder."""
    compiler = _compiler()
    library = _library_path(source, real, folder, compiler)
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, partial = tempfile.mkstemp(prefix=".partial-", suffix=".so", dir=folder)
    os.close(handle)
    try:
        # Without OpenMP the kernel runs on one thread.
        for openmp in (["-fopenmp"], []):
            result = _run([*compiler, *_FLAGS, *openmp, f"-DREAL={real}", str(source), "-o", partial])
            if result.returncode == 0:
                Path(partial).replace(library)
                return library
    finally:
        Path(partial).unlink(missing_ok=True)
    raise KernelError(f"{compiler[0]} does not compile the kernel: {result.stderr.strip()[:200]}")


@cache
def _library(real: str, folder: Path) -> ctypes.CDLL:
    with resources.as_file(resources.files("basinscope.landscape") / "kernel.c") as source:
        try:
            path = _build(source, real, folder)
        except OSError:  # the cache folder is not writable
            path = _build(source, real, Path(tempfile.mkdtemp(prefix="basinscope-")))
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # truncated, or from another machine
            path.unlink(missing_ok=True)
            try:
                library = ctypes.CDLL(str(_build(source, real, folder)))
            except OSError as error:
                raise KernelError(f"the compiled kernel does not load: {error}") from error
    library.lanes.restype = ctypes.c_int64
    library.mlp_logits.restype = None
    return library


def _aligned(*shape: int, dtype: torch.dtype) -> Tensor:
    """Uninitialised tensor, aligned to the widest register."""
    size, item = torch.Size(shape).numel(), dtype.itemsize
    buffer = torch.empty(size + _WIDEST_REGISTER // item, dtype=dtype)
    skipped = -buffer.data_ptr() % _WIDEST_REGISTER // item
    return buffer[skipped : skipped + size].view(shape)


class MLPKernel:
    """Logits of a ReLU network on fixed inputs, at many parameter vectors.

    Args:
        widths: Units of each layer, from inputs to logits.
        inputs: Samples, float32 or float64 on the CPU.

    Raises:
        KernelError: There is no working compiler, or the inputs' dtype or device is not supported.
    """

    def __init__(self, widths: tuple[int, ...], inputs: Float[Tensor, "samples features"]) -> None:
        if inputs.device.type != "cpu" or inputs.dtype not in _TYPES:
            raise KernelError(f"the kernel supports float32 and float64 on CPU, not {inputs.dtype} on {inputs.device}")
        self._library = _library(_TYPES[inputs.dtype], cache_folder())
        lanes = int(self._library.lanes())
        self.widths = widths
        self._num_samples, self._num_classes, self._widest = len(inputs), widths[-1], max(widths)
        self._registers = -(-len(inputs) // lanes)
        self._padded = self._registers * lanes
        self._num_parameters = sum((a + 1) * b for a, b in pairwise(widths))
        self._widths = torch.tensor(widths)
        self._inputs = _aligned(widths[0], self._padded, dtype=inputs.dtype)
        self._inputs.zero_()
        self._inputs[:, : len(inputs)] = inputs.T
        self._scratch_registers = 2 * self._widest * self._registers - (-self._num_parameters // lanes)
        self._scratch_size = self._scratch_registers * lanes

    def logits(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        rows: Int[Tensor, " points"],
        distances: Float[Tensor, " points"],
        second: tuple[Float[Tensor, " params"], Float[Tensor, " points"]] | None = None,
    ) -> Float[Tensor, "points samples classes"]:
        """Evaluate the network at `center + distance · directions[row]` for each row and distance.

        Args:
            center: Parameters at the center.
            directions: Directions, one row each.
            rows: Index of each point's direction.
            distances: Distance of each point along its direction.
            second: For points on a plane: a second direction, and each point's distance along it.
        """
        dtype = self._inputs.dtype
        threads = max(1, min(torch.get_num_threads(), len(rows) // _POINTS_PER_THREAD))
        center, directions = center.to(dtype).contiguous(), directions.to(dtype).contiguous()
        steps, rows = distances.to(dtype).contiguous(), rows.to(torch.int64).contiguous()
        across = [tensor.to(dtype).contiguous() for tensor in second or ()]
        assert len(center) == directions.shape[1] == self._num_parameters
        assert len(rows) == len(steps)
        assert not across or (across[0].shape == center.shape and across[1].shape == steps.shape)
        assert not len(rows) or (int(rows.min()) >= 0 and int(rows.max()) < len(directions))
        scratch = _aligned(threads, self._scratch_size, dtype=dtype)
        logits = _aligned(len(rows), self._num_classes, self._padded, dtype=dtype)

        def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
            return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())

        number = ctypes.c_int64
        self._library.mlp_logits(
            pointer(center),
            pointer(directions),
            pointer(rows),
            pointer(steps),
            *(map(pointer, across) if across else (pointer(None), pointer(None))),
            number(len(rows)),
            number(self._num_parameters),
            pointer(self._widths),
            number(len(self.widths) - 1),
            number(self._widest),
            pointer(self._inputs),
            number(self._registers),
            pointer(scratch),
            number(self._scratch_registers),
            number(threads),
            pointer(logits),
        )
        return logits[:, :, : self._num_samples].transpose(1, 2)
