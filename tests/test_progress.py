import io

import pytest

from basinscope.progress import TimeLeft, watched


class _Stream(io.StringIO):
    """An error stream that is a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class _Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    fake = _Clock()
    monkeypatch.setattr("basinscope.progress.time.monotonic", fake)
    return fake


def _stream(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> _Stream:
    stream = _Stream(terminal)
    monkeypatch.setattr("sys.stderr", stream)
    return stream


def test_a_function_is_called_itself_and_nothing_is_written(monkeypatch, clock):
    stream, shares = _stream(monkeypatch, terminal=True), []
    with watched("slice1d", shares.append) as tell:
        for share in (0.1, 0.5, 1.0):
            clock.now += 100
            tell(share)
    assert shares == [0.1, 0.5, 1.0]
    assert stream.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_false_shows_nothing(terminal, monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=terminal)
    with watched("slice1d", False) as tell:
        for _ in range(5):
            clock.now += 100
            tell(0.5)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("progress", [None, True])
def test_elsewhere_a_line_comes_every_ten_seconds_with_the_time_left(progress, monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=False)
    with watched("radius", progress) as tell:
        for second in range(25):
            clock.now = 1000 + second
            tell(second / 100)
    assert stream.getvalue().splitlines() == [
        "radius: 10 % done, about 1 min 30 s left",
        "radius: 20 % done, about 1 min 20 s left",
        "radius: 100 % done in 24 s",
    ]


def test_on_a_terminal_a_line_is_renewed_in_place_and_wiped_away(monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=True)
    with watched("radius", None) as tell:
        for tenth in range(24):
            clock.now = 1000 + tenth / 10
            tell(tenth / 100)
    shown = stream.getvalue()
    assert "\n" not in shown
    lines = shown.split("\r\x1b[K")
    # The first after two seconds, then at most five a second; the last one is wiped away.
    assert lines == ["", "radius: 20 % done, about 8 s left", lines[2], ""]
    assert lines[2].startswith(("radius: 22 %", "radius: 23 %"))


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_quick_shows_nothing(terminal, monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=terminal)
    with watched("radius", None) as tell:
        for tenth in range(18):
            clock.now = 1000 + tenth / 10
            tell(tenth / 17)
    assert stream.getvalue() == ""


def test_before_anything_is_done_the_time_left_is_not_known(monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=False)
    with watched("radius", None) as tell:
        clock.now += 11
        tell(0.0)
        clock.now += 11
        tell(1.0)
    assert stream.getvalue() == "radius: 0 % done, about ? left\nradius: 100 % done in 22 s\n"


class _Notebook:
    """What a notebook puts in place of stderr: an object of its own, which is no terminal and appends all lines."""

    encoding = "UTF-8"

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("last", [0.81, 1.0])
@pytest.mark.parametrize("make", [_Notebook, lambda: _Stream(False)], ids=["notebook", "pipe"])
def test_the_last_line_says_that_all_is_done(make, last, monkeypatch, clock):
    stream = make()
    monkeypatch.setattr("sys.stderr", stream)
    with watched("slice2d", None) as tell:
        clock.now += 81
        tell(0.81)
        clock.now += 5
        tell(last)
    text = "".join(stream.written) if isinstance(stream, _Notebook) else stream.getvalue()
    assert text == "slice2d: 81 % done, about 19 s left\nslice2d: 100 % done in 1 min 26 s\n"
    assert "\r" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("make", [_Notebook, lambda: _Stream(False)], ids=["notebook", "pipe"])
def test_work_that_fails_is_not_called_done(make, error, monkeypatch, clock):
    stream = make()
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(error), watched("slice2d", None) as tell:  # noqa: PT012
        clock.now += 81
        tell(0.81)
        raise error
    text = "".join(stream.written) if isinstance(stream, _Notebook) else stream.getvalue()
    assert text == "slice2d: 81 % done, about 19 s left\n"


def test_every_line_of_a_notebook_is_whole(monkeypatch, clock):
    # Notebooks show what is written at once, so a line is written with its end.
    stream = _Notebook()
    monkeypatch.setattr("sys.stderr", stream)
    with watched("slice2d", None) as tell:
        for _ in range(3):
            clock.now += 11
            tell(0.5)
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in stream.written)
    assert len(stream.written) == 4


def test_the_line_is_wiped_away_when_the_computation_fails(monkeypatch, clock):
    stream = _stream(monkeypatch, terminal=True)
    with pytest.raises(ZeroDivisionError), watched("radius", None) as tell:  # noqa: PT012
        clock.now += 5
        tell(0.5)
        raise ZeroDivisionError
    assert stream.getvalue() == "\r\x1b[Kradius: 50 % done, about 5 s left\r\x1b[K"


def test_nothing_is_said_of_the_time_left_before_anything_is_known() -> None:
    assert TimeLeft(in_seconds=False)(0.0, 100.0) is None
    assert TimeLeft()(0.0, 100.0) == 100.0
