import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from basinscope.data import cifar10, download
from basinscope.data.plain_pickle import ByteArray, read_plain
from basinscope.errors import InputError

FILES = tuple(cifar10.PYTHON_MD5)
NUM = 20
PIXELS = np.random.default_rng(0).integers(256, size=(len(FILES), NUM, 3072)).astype(np.uint8)
LABELS = [(3 * k + 7 * np.arange(NUM)) % 10 for k in range(len(FILES))]
Pickler = Callable[[np.ndarray, list[int]], bytes]


def _short(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode("latin-1")


def _python_2(data: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2.7's cPickle writes: every string is a byte string, flags are integers, memo indices begin at 1."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85"
        + _short("b") + b"\x87Rq\x08(K\x01"
        + b"".join(b"J" + struct.pack("<i", length) for length in data.shape)
        + b"\x86cnumpy\ndtype\nq\x09" + _short("u1") + b"K\x00K\x01\x87Rq\x0a(K\x03" + _short("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<I", data.size) + data.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    names = b"".join(_short(f"{k}.png") + b"r" + struct.pack("<I", 300 + k) for k in range(len(labels)))
    return (
        b"\x80\x02}q\x01(" + _short("batch_label") + b"q\x02" + _short("training batch 1 of 5") + b"q\x03"
        + _short("labels") + b"q\x04]q\x05(" + numbers + b"e" + _short("data") + array
        + _short("filenames") + b"q\x0b]q\x0c(" + names + b"eu."
    )  # fmt: skip


def _python_3(protocol: int, *, old_numpy: bool = False, text: bool = False) -> Pickler:
    def dump(data: np.ndarray, labels: list[int]) -> bytes:
        keys = ("batch_label", "labels", "data", "filenames")
        values = ("training batch 1 of 5", labels, data, [f"{k}.png" for k in range(len(labels))])
        content = pickle.dumps(
            dict(zip(keys, values, strict=True))
            if text
            else {key.encode(): value.encode() if isinstance(value, str) else value
                  for key, value in zip(keys, values, strict=True)},
            protocol,
        )  # fmt: skip
        return _like_numpy_1(content) if old_numpy else content

    return dump


def _like_numpy_1(content: bytes) -> bytes:
    """Replace the names of numpy's modules by those of numpy 1; frames, whose sizes change, are left out."""
    for module in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = module.replace(b"_core", b"core")
        content = content.replace(b"c" + module + b"\n", b"c" + old + b"\n")
        content = content.replace(bytes([len(module)]) + module, bytes([len(old)]) + old)
    return content[:2] + content[11:] if content[2:3] == b"\x95" else content


def _write(folder: Path, pickler: Pickler = _python_2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels, labels in zip(FILES, PIXELS, LABELS, strict=True):
        (folder / name).write_bytes(pickler(pixels, labels.tolist()))
    return folder


def _write_binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels, labels in zip((*cifar10.TRAIN_FILES, cifar10.TEST_FILE), PIXELS, LABELS, strict=True):
        np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1).tofile(folder / name)
    return folder


def _load(folder: Path):
    return cifar10.load_cifar10(folder, num_train=None, num_unseen=0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return _write(tmp_path / "cifar-10-batches-py")


PICKLERS: dict[str, Pickler] = {"Python 2": _python_2} | {
    f"protocol {protocol}, {'text' if text else 'bytes'}, numpy {1 if old else 2}": _python_3(
        protocol, old_numpy=old, text=text
    )
    for protocol in (2, 3, 4, 5)
    for text in (False, True)
    for old in (False, True)
}


@pytest.mark.parametrize("pickler", PICKLERS.values(), ids=PICKLERS)
def test_both_versions_hold_the_same_images(tmp_path: Path, pickler: Pickler) -> None:
    folder = _write(tmp_path / "there" / "cifar-10-batches-py", pickler)
    binary = _load(_write_binary(tmp_path / "binary"))
    for given in (folder, folder.parent):
        task = _load(given)
        assert task.checksum == binary.checksum
        assert task.train.pixels.shape == (5 * NUM, 3, 32, 32)
        assert (task.train.mean, task.train.std) == (binary.train.mean, binary.train.std)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_in_fortran_order_are_read(tmp_path: Path, protocol: int) -> None:
    dump = _python_3(protocol)
    folder = _write(tmp_path, lambda data, labels: dump(np.asfortranarray(data), labels))
    assert _load(folder).test.pixels.numpy().tobytes() == PIXELS[5].tobytes()


def test_the_binary_version_comes_first(tmp_path: Path, place: Path) -> None:
    (place / FILES[0]).write_bytes(b"damaged")
    _write_binary(tmp_path / "cifar-10-batches-bin")
    assert len(_load(tmp_path).train) == 5 * NUM


def test_only_published_files_bear_the_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(place).name == "CIFAR-10 format, files not verified"
    monkeypatch.setattr(cifar10, "PYTHON_MD5", {name: download.md5(place / name) for name in FILES})
    assert _load(place).name == "CIFAR-10"


def _refusal(folder: Path) -> str:
    with pytest.raises(InputError) as told:
        _load(folder)
    message = str(told.value)
    assert "\n" not in message
    assert message.isprintable()
    assert message.endswith("; get the files with basinscope fetch cifar10, or give their folder with --data-dir")
    return message


def test_missing_files_are_named(place: Path) -> None:
    for name in ("data_batch_2", "test_batch"):
        (place / name).unlink()
    assert _refusal(place.parent).startswith(f"{place}/data_batch_2, test_batch: not found; ")


@pytest.mark.parametrize(
    ("folder", "files"),
    [("cifar-100-python", ("train", "test", "meta")), ("cifar-100-binary", ("train.bin", "test.bin"))],
)
def test_cifar_100_is_not_supported(tmp_path: Path, folder: str, files: tuple[str, ...]) -> None:
    (tmp_path / folder).mkdir()
    for name in files:
        (tmp_path / folder / name).touch()
    for given in (tmp_path, tmp_path / folder):
        assert _refusal(given).startswith(f"{given}: holds CIFAR-100, which is not supported, not CIFAR-10; ")


GOOD = {"data": PIXELS[0], "labels": LABELS[0].tolist()}
WRONG = {
    "a list": ([1], "holds a list, not the dictionary of the python version of CIFAR-10"),
    "without labels": ({"data": PIXELS[0]}, "'labels' is missing from the dictionary"),
    "fine labels": ({"data": PIXELS[0], "fine_labels": []}, "'labels' is missing from the dictionary"),
    "without data": ({"labels": []}, "'data' is missing, not an array of bytes of shape (images, 3072)"),
    "data in a list": (GOOD | {"data": [0]}, "'data' is a list, not an array of bytes of shape (images, 3072)"),
    "columns": (GOOD | {"data": PIXELS[0][:, :3071].copy()}, "'data' has shape (20, 3071), not an array of bytes"),
    "one axis": (GOOD | {"data": PIXELS[0].reshape(-1)}, "'data' has shape (61440,), not an array of bytes"),
    "no images": ({"data": PIXELS[0][:0], "labels": []}, "holds an array of shape (0, 3072) with 0 bytes of content"),
    "int16": (GOOD | {"data": PIXELS[0].astype(np.int16)}, "holds an array of type 'i2', not uint8 ('u1')"),
    "objects": (GOOD | {"data": PIXELS[0].astype(object)}, "holds an array of type 'O8', not uint8 ('u1')"),
    "too few labels": (GOOD | {"labels": [1]}, "20 images and 1 labels"),
    "label 10": (GOOD | {"labels": [3, 10] * 10}, "image 1 has label 10, labels run from 0 to 9"),
    "label 255": (GOOD | {"labels": [3, 255] * 10}, "image 1 has label 255, labels run from 0 to 9"),
    "label -1": (GOOD | {"labels": [3, -1] * 10}, "image 1 has label -1, labels run from 0 to 9"),
    "label 256": (GOOD | {"labels": [256] * 20}, "image 0 has label 256, labels run from 0 to 9"),
    "huge label": (GOOD | {"labels": [10**5000] * 20}, "holds an integer of 16,610 bits"),
    "real labels": (GOOD | {"labels": [1.0] * 20}, "'labels' is not a list of integers"),
    "true labels": (GOOD | {"labels": [True] * 20}, "'labels' is not a list of integers"),
    "a number as key": (GOOD | {7: 7}, "holds a dictionary with a key of type int, not a string"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(("batch", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_batch_is_refused(place: Path, protocol: int, batch: object, says: str) -> None:
    path = place / FILES[3]
    path.write_bytes(pickle.dumps(batch, protocol))
    assert _refusal(place).startswith(f"{path}: {says}")


class _Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


class _Made:
    """Pickled with NEWOBJ."""


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("where", ["whole", "data", "labels", "in the labels", "beside"])
def test_nothing_is_executed(place: Path, protocol: int, where: str) -> None:
    marker = place / "executed"
    path = place / FILES[0]
    calls = {
        f"{os.system.__module__}.system": _Call(os.system, f"touch '{marker}'"),
        "eval": _Call(eval, f"open({str(marker)!r}, 'w')"),
        "getattr": _Call(getattr, marker, "touch"),
        "numpy.fromfile": _Call(np.fromfile, str(path), np.uint8),
        "_Made": _Made(),
    }
    for name, call in calls.items():
        batch = {
            "whole": call,
            "data": GOOD | {"data": call},
            "labels": GOOD | {"labels": call},
            "in the labels": GOOD | {"labels": [*GOOD["labels"][:-1], call]},
            "beside": {"batch_label": [(call,)]} | GOOD,
        }[where]
        path.write_bytes(pickle.dumps(batch, protocol))
        message = _refusal(place)
        assert message.startswith(f"{path}: refers to '")
        assert f"{name}', which plain data do not need" in message
        assert not marker.exists()


RAW = {
    "INST": b"(X\x01\x00\x00\x00xios\nsystem\n.",
    "OBJ": b"(cnumpy\nndarray\no.",
    "NEWOBJ": b"cnumpy\nndarray\n)\x81.",
    "NEWOBJ_EX": b"cnumpy\nndarray\n)}\x92.",
    "PERSID": b"Pname\n.",
    "BINPERSID": b"K\x01Q.",
    "EXT1": b"\x82\x01.",
    "NEXT_BUFFER": b"\x97.",
    "EMPTY_SET": b"\x8f.",
    "DUP": b"]2.",
}


@pytest.mark.parametrize(("name", "opcodes"), RAW.items(), ids=RAW)
def test_other_opcodes_are_refused(name: str, opcodes: bytes) -> None:
    with pytest.raises(InputError, match=f"^holds the pickle opcode {name}, which plain data do not need$"):
        read_plain(b"\x80\x02" + opcodes)


_BLANK = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
_U1 = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"


def _array(shape: bytes, content: bytes = b"U\x04abcd") -> bytes:
    return _BLANK + b"(K\x01" + shape + _U1 + b"\x89" + content + b"tb."


def _long(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


_NOTHING_THERE = "is a damaged pickle: an opcode refers to a value that is not there"
_NO_FUNCTION = "is a damaged pickle: it calls what is not a function"
_NO_SHAPE = "holds an array whose shape is not a few integers"
_NO_DATA = "holds an object that is neither plain data nor an array of uint8"
_MINUS_2 = b"J\xfe\xff\xff\xff"
OTHER_FILES = {
    "text": (b"<html>", "is not a pickle of protocol 2 to 5"),
    "nothing": (b"", "is not a pickle of protocol 2 to 5"),
    "protocol 0": (pickle.dumps({}, 0), "is not a pickle of protocol 2 to 5"),
    "protocol 6": (b"\x80\x06}.", "is not a pickle of protocol 2 to 5"),
}
DAMAGED = {
    "unknown opcode": (b"\xff.", "is a damaged or truncated pickle (at position 2, opcode b"),
    "no end": (b"}", "is a damaged or truncated pickle (pickle exhausted before seeing STOP)"),
    "huge string": (b"T\xff\xff\xff\x7fabc.", "is a damaged or truncated pickle (expected 2147483647 bytes"),
    "not UTF-8": (b"X\x01\x00\x00\x00\xff.", "is a damaged or truncated pickle ("),
    "not escaped": (b"S'\\q'\n.", "is a damaged or truncated pickle ("),
    "empty stack": (b".", _NOTHING_THERE),
    "no mark": (b"t.", _NOTHING_THERE),
    "no memo": (b"h\x05.", _NOTHING_THERE),
    "append to a dictionary": (b"}K\x01a.", "is a damaged pickle: it appends to a dict"),
    "odd items": (b"}(U\x01au.", "is a damaged pickle: it stores a key without a value, or not in a dictionary"),
    "call of a string": (b"U\x01a)R.", _NO_FUNCTION),
    "call of a class": (b"cnumpy\nndarray\n)R.", _NO_FUNCTION),
    "name of a list": (b"]]\x93.", "is a damaged pickle: it refers to a function or class whose name is not text"),
    "long name": (b"c" + b"m" * 99 + b"\nn\n.", f"refers to '{'m' * 60}...', which plain data do not need"),
    "name in two lines": (b"U\x03a\nbU\x01c\x93.", r"refers to 'a\nb.c', which plain data do not need"),
    "other codec": (b"c_codecs\nencode\n(U\x01aU\x03hextR.", "calls _codecs.encode, but not on text in Latin-1"),
    "bytes(9)": (b"c__builtin__\nbytes\n(K\x09tR.", "calls bytes with arguments"),
    "dtype of a list": (b"cnumpy\ndtype\n(]tR.", "calls numpy.dtype, but not with the name of a type"),
    "dtype with fields": (_U1 + b"(K\x03U\x01|}NN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb.", _NO_DATA),
    "another class": (_BLANK.replace(b"ndarray", b"dtype") + b".", "calls numpy's _reconstruct, but not for an array"),
    "built twice": (_array(b"(K\x04t")[:-1] + b"(K\x01(K\x04t" + _U1 + b"\x89U\x04abcdtb.", _NO_DATA),
    "without dtype": (_BLANK + b"(K\x01(K\x04tN\x89U\x04abcdtb.", _NO_DATA),
    "list as content": (_array(b"(K\x04t", b"]"), "holds an array whose content is a list, not bytes"),
    "shape too large": (_array(b"(K\x05t"), "holds an array of shape (5,) with 4 bytes of content"),
    "shape too small": (_array(b"(K\x03t"), "holds an array of shape (3,) with 4 bytes of content"),
    "negative shape": (_array(b"(" + 2 * _MINUS_2 + b"t"), "holds an array of shape (-2, -2) with 4 bytes of content"),
    # The product is 4 modulo 2^64.
    "shape overflows": (
        _array(b"(" + _long(2**62 + 1) + _long(4) + b"t"),
        "holds an array of shape (4611686018427387905, 4) with 4 bytes of content",
    ),
    "no axes": (_array(b")", b"U\x01a"), _NO_SHAPE),
    "many axes": (_array(b"(K\x04" + b"K\x01" * 99 + b"t"), _NO_SHAPE),
    "shape of strings": (_array(b"(U\x014t"), _NO_SHAPE),
}
FILES_TO_REFUSE = OTHER_FILES | {what: (b"\x80\x02" + opcodes, says) for what, (opcodes, says) in DAMAGED.items()}


@pytest.mark.parametrize(("content", "says"), FILES_TO_REFUSE.values(), ids=FILES_TO_REFUSE)
def test_a_damaged_pickle_is_refused(place: Path, content: bytes, says: str) -> None:
    path = place / FILES[2]
    path.write_bytes(content)
    assert _refusal(place).startswith(f"{path}: {says}")


def test_arrays_without_bytes_are_refused() -> None:
    blank = read_plain(b"\x80\x02" + _BLANK + b".")
    text = read_plain(b"\x80\x02" + _array(b"(K\x01t", b"X\x02\x00\x00\x00\xd0\xb0"))
    for array, says in ((blank, "holds an array without content"), (text, "holds an array whose content is text")):
        assert isinstance(array, ByteArray)
        with pytest.raises(InputError, match=says):
            array.values()


@pytest.mark.parametrize("pickler", PICKLERS.values(), ids=PICKLERS)
def test_a_truncated_file_is_refused(pickler: Pickler) -> None:
    content = pickler(PIXELS[0][:1, :7], [5])
    for end in range(len(content)):
        with pytest.raises(InputError):
            read_plain(content[:end])


@pytest.mark.parametrize("pickler", PICKLERS.values(), ids=PICKLERS)
def test_whatever_the_bytes_only_input_errors_are_raised(pickler: Pickler) -> None:
    content = pickler(PIXELS[0][:1, :7], [5])
    noise = np.random.default_rng(1)
    refused = 0
    for _ in range(500):
        changed = bytearray(content)
        for where in noise.integers(2, len(content), size=3):
            changed[where] = noise.integers(256)
        try:
            read_plain(bytes(changed))
        except InputError:
            refused += 1
    assert refused > 100


def test_nested_values_need_neither_memory_nor_recursion() -> None:
    doubled = b"\x80\x02]q\x00" + b"".join(b"h\x00\x86q\x00" for _ in range(200))
    read_plain(doubled + b".")
    deep = b"\x80\x02)" + b"\x85" * 20_000
    read_plain(deep + b".")
    for nested in (doubled, deep):
        with pytest.raises(InputError, match="a key of type tuple"):
            read_plain(b"\x80\x02}" + nested[2:] + b"K\x01s.")
        with pytest.raises(InputError, match="shape is not a few integers"):
            read_plain(b"\x80\x02" + _array(nested[2:] + b"\x85"))


def test_values_are_those_that_were_pickled() -> None:
    values = {"a": [1, -2, 2**40, 1.5, None, True, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "b": {"ä": "日本"}}
    for protocol in (2, 3, 4, 5):
        assert read_plain(pickle.dumps(values, protocol)) == values
        empty = read_plain(pickle.dumps({"c": b""}, protocol))
        assert empty == {"c": b""}
