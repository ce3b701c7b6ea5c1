"""Figures of curvature during training: what is drawn, and what the legend and titles say."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from basinscope.errors import InputError
from basinscope.plots.measured import plot
from basinscope.results.convert import dataset

STEPS = np.arange(0, 50, 10)


def _result(*, limit=4.0, formula="2/η", **further):
    values = {
        "step": STEPS,
        "status": np.array([0, 0, 0, 1, 0], dtype=np.int8),
        "loss": np.array([2.0, 1.5, 1.2, np.inf, 1.0]),
        "top_eigenvalue": np.array([1.0, 2.0, 3.0, np.nan, 4.1]),
        "top_residual": np.full(5, 1e-3),
        "top_status": np.array([0, 0, 1, 2, 0], dtype=np.int8),
        "num_products": np.full(5, 9),
        "learning_rate": np.full(5, 2.0 / limit),
        "threshold": np.full(5, limit),
    } | further
    facts = {"model": "Net", "num_moved": 1234, "optimizer": "SGD", "threshold_formula": formula}
    return dataset("training", values, threshold_note="", **facts)


def _legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_eigenvalue_limit_and_loss_are_drawn():
    result = _result()
    figure = plot(result)
    top, loss = figure.axes
    curve, ring = (line for line in top.get_lines() if line.get_label() in ("_child0", "not converged"))
    np.testing.assert_array_equal(curve.get_ydata(), result["top_eigenvalue"])
    np.testing.assert_array_equal(ring.get_xydata(), [[20, 3.0]])
    (limit,) = (line for line in top.get_lines() if line.get_linestyle() == "--")
    assert set(limit.get_ydata()) == {4.0}
    assert top.get_ylim()[1] > 4.1
    assert top.get_xlim() == loss.get_xlim()
    np.testing.assert_array_equal(loss.get_lines()[0].get_ydata(), [2.0, 1.5, 1.2, np.nan, 1.0])
    assert _legend(figure) == ["not finite", "not converged", "stability limit 2/η"]
    assert top.get_title() == "Net, 1,234 moved entries\nSGD, learning rate η = 0.5"
    assert loss.get_xlabel() == "updates"


def test_a_limit_far_above_is_named_and_leaves_the_eigenvalues_readable():
    figure = plot(_result(limit=1000.0))
    assert "stability limit 2/η; lowest value 1e+03, above the axis" in _legend(figure)
    assert figure.axes[0].get_ylim()[1] < 10


def test_runs_are_compared_in_their_own_colours():
    figure = plot({"slow": _result(), "fast": _result(limit=2.0)})
    assert [label for label in _legend(figure) if ":" in label] == ["slow: 2/η", "fast: 2/η"]
    limits = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert len({line.get_color() for line in limits}) == 2


def test_further_numbers_have_panels_of_their_own():
    sharp = {"worst_sharpness": np.ones(5), "average_sharpness": np.ones(5), "average_sharpness_stderr": np.ones(5)}
    trace = {"trace": np.ones(5), "trace_stderr": np.ones(5)}
    result = _result(**sharp, **trace, probe=["test error"], value=np.ones((1, 5)))
    names = ["top eigenvalue", "trace", "sharpness", "loss", "test error"]
    figure = plot(result)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["top eigenvalue", "trace", "rise of the loss in a ball", "loss", "test error"]
    own = dict(zip(names, Figure().subplots(5), strict=True))
    plot(result, ax=own, title="Mine")
    assert own["top eigenvalue"].get_title() == "Mine"
    with pytest.raises(InputError, match="but 5 are needed"):
        plot(result, ax=[own["loss"]])


def test_only_numbers_of_ones_own():
    result = dataset(
        "training",
        {"step": STEPS, "status": np.zeros(5, dtype=np.int8), "probe": ["mine"], "value": np.ones((1, 5))},
        model="Net",
    )
    figure = plot(result)
    assert [axes.get_ylabel() for axes in figure.axes] == ["mine"]
    assert figure.axes[0].get_title() == "Net"


def test_loss_on_a_log_scale():
    figure = plot(_result(loss=np.array([100.0, 10.0, 1.0, 0.1, 0.01])))
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log"]
    assert plot(_result(), log=True).axes[1].get_yscale() == "log"
