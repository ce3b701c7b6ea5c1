"""Schema of every kind of result: dimensions, units and version; results are checked against it when read."""

from __future__ import annotations

from collections.abc import Mapping

from basinscope.results.training import TRAINING
from basinscope.results.variables import Kind, Variable


def _scores(*dims: str) -> dict[str, Variable]:
    """Losses and other scores of several datasets on one slice."""
    return {
        "batches": Variable(("batches",), "", "name of a dataset; the first is that of `loss`", optional=True),
        "metric": Variable(("metric",), "", "name of a score; the first is the loss", optional=True),
        "values": Variable(("batches", "metric", *dims), "", "mean of a score over a dataset", optional=True),
    }


_EMBEDDING = {
    "num_different": Variable((), "", "points that differ; equal ones share a place", optional=True),
    "perplexity": Variable((), "", "effective number of neighbours used", optional=True),
    "converged": Variable(
        (), "", "whether 500 more iterations change the divergence by less than 1 %", {0: "no", 1: "yes"}, optional=True
    ),
}
"""How an embedding was computed; results of earlier releases lack it."""
_PAIR, _PAIR_STATUS = "whether the eigenpair was found", {0: "ok", 1: "max_steps", 2: "unchecked"}
_STDERR = "its standard error, widened by Student's t: ± 1.96 of it are a 95 % interval"
_VECTOR = "direction in weight space: the unit eigenvector v, or D·v if the Hessian is scaled by D"
RAY_STATUS = {0: "ok", 1: "unbounded", 2: "nonfinite", 3: "max_evals", 4: "below", 5: "unresolved"}

_KINDS = (
    Kind(
        "nets",
        1,
        {
            "net": Variable(("net",), "", "name of the network"),
            "poison": Variable(("net",), "", "poison factor β"),
            "run": Variable(("net",), "", "index of the run at its poison factor"),
            "steps": Variable(("net",), "updates", "updates made"),
            "diverged_at": Variable(("net",), "updates", "update whose gradient was not finite, −1 for none"),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("net",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("net",), "1", "fraction of the published test points classified correctly"),
            "dense_accuracy": Variable(("net",), "1", "fraction of the dense test set classified correctly"),
            "gap": Variable(("net",), "1", "training accuracy minus dense test accuracy"),
        },
    ),
    Kind(
        "radius",
        1,
        {
            "ray": Variable(("ray",), "", "index of the direction"),
            "radius": Variable(("ray",), "filter norms", "first distance at which the loss exceeds the cutoff"),
            "lower": Variable(("ray",), "filter norms", "largest distance seen below the crossing"),
            "upper": Variable(("ray",), "filter norms", "smallest distance seen beyond the crossing"),
            "status": Variable(("ray",), "", "how the search along the ray ended", RAY_STATUS),
            "num_evaluations": Variable(
                ("ray",), "", "loss evaluations along the ray; one that stopped early counts as a fraction"
            ),
            "cutoff": Variable((), "nat", "loss that bounds the basin"),
            "center_loss": Variable((), "nat", "loss at the minimum"),
            "num_scanned": Variable((), "", "rays scanned finely for an earlier crossing"),
            "num_earlier": Variable((), "", "scanned rays on which an earlier crossing was found"),
            "num_moved": Variable((), "", "entries of the moved tensors, n"),
        },
    ),
    Kind(
        "volume",
        1,
        {
            "log_volume": Variable((), "nat", "log ω_n + log E[rⁿ]"),
            "log_volume_low": Variable((), "nat", "lower end of the 95 % interval, NaN for a bound"),
            "log_volume_high": Variable((), "nat", "upper end of the 95 % interval, NaN for a bound"),
            "mean_n_log_r": Variable((), "nat", "mean of n·log r over the rays"),
            "mean_n_log_r_stderr": Variable((), "nat", "standard error of the mean of n·log r"),
            "effective_rays": Variable((), "", "effective sample size (Σw)²/Σw², w = rⁿ"),
            "largest_share": Variable((), "1", "share of the ray with the largest rⁿ in E[rⁿ]"),
            "num_rays": Variable((), "", "rays used"),
            "num_unbounded": Variable((), "", "rays without a crossing, counted at the largest radius"),
            "status": Variable((), "", "kind of log-volume", {0: "estimate", 1: "lower_bound"}),
        },
    ),
    Kind(
        "mean_curvature",
        2,
        {
            "ray": Variable(("ray",), "", "index of the direction"),
            "curvature": Variable(("ray",), "nat", "dᵀHd along the direction"),
            "mean_curvature": Variable((), "nat", "mean of dᵀHd, an estimate of tr(DHD)"),
            "mean_curvature_stderr": Variable((), "nat", "its standard error"),
            "trace_per_entry": Variable((), "nat", "tr(DHD)/n with D = ‖w_f‖, the form of the published scripts"),
            "trace_per_entry_stderr": Variable((), "nat", "its standard error"),
            "top_eigenvalue": Variable((), "nat", "largest eigenvalue of DHD"),
        },
    ),
    Kind(
        "slice1d",
        1,
        {
            "ray": Variable(("ray",), "", "index of the direction"),
            "distance": Variable(("distance",), "filter norms", "distance from the center"),
            "loss": Variable(("ray", "distance"), "nat", "mean loss"),
            **_scores("ray", "distance"),
        },
    ),
    Kind(
        "slice2d",
        2,
        {
            "first": Variable(("first",), "filter norms", "distance along the first direction"),
            "second": Variable(("second",), "filter norms", "distance along the second direction"),
            "loss": Variable(("first", "second"), "nat", "mean loss"),
            "cosine": Variable((), "1", "cosine between the two directions"),
            "marker": Variable(("marker",), "", "name of a point", optional=True),
            "marker_first": Variable(
                ("marker",), "filter norms", "its coordinate along the first direction", optional=True
            ),
            "marker_second": Variable(
                ("marker",), "filter norms", "its coordinate along the second direction", optional=True
            ),
            "marker_away": Variable(("marker",), "filter norms", "its distance from the plane", optional=True),
            "axis_vector": Variable(
                ("axis", "entry"), "", "the two directions, over the moved tensors of `tensors`", optional=True
            ),
            **_scores("first", "second"),
        },
    ),
    Kind(
        "curvature",
        1,
        {
            "rank": Variable(("rank",), "", "rank of the eigenvalue, largest first"),
            "eigenvalue": Variable(("rank",), "", "eigenvalue of the Hessian"),
            "residual": Variable(("rank",), "", "‖Hv − λv‖ of the eigenpair"),
            "status": Variable(("rank",), "", _PAIR, _PAIR_STATUS),
            "eigenvector": Variable(("rank", "entry"), "", _VECTOR, optional=True),
            "smallest_rank": Variable(("smallest_rank",), "", "rank of the eigenvalue, smallest first", optional=True),
            "smallest_eigenvalue": Variable(("smallest_rank",), "", "eigenvalue of the Hessian", optional=True),
            "smallest_residual": Variable(("smallest_rank",), "", "‖Hv − λv‖ of the eigenpair", optional=True),
            "smallest_status": Variable(("smallest_rank",), "", _PAIR, _PAIR_STATUS, optional=True),
            "smallest_eigenvector": Variable(("smallest_rank", "entry"), "", _VECTOR, optional=True),
            "trace": Variable((), "", "trace of the Hessian"),
            "trace_stderr": Variable((), "", _STDERR),
            "diagonal": Variable(("entry",), "", "diagonal of the Hessian", optional=True),
            "diagonal_stderr": Variable(("entry",), "", _STDERR, optional=True),
            "value": Variable(("value",), "", "eigenvalue at which the density is given"),
            "density": Variable(("value",), "", "density of the eigenvalues; its integral is 1"),
            "density_stderr": Variable(("value",), "", _STDERR),
            "num_products": Variable((), "", "products of the Hessian and a vector"),
        },
    ),
    Kind(
        "curve",
        2,
        {
            "place": Variable(("place",), "", "position on the path: 0 at the network, 1 at the other minimum"),
            "loss": Variable(("place",), "", "loss along the fitted curve"),
            "straight_loss": Variable(("place",), "", "loss along the straight line"),
            "other_loss": Variable((), "", "the other minimum's own loss"),
            "barrier": Variable((), "", "largest rise of the curve above the line between the minima's losses"),
            "straight_barrier": Variable((), "", "the same for the straight line"),
            "distance": Variable((), "Euclidean length", "distance between the minima"),
            "num_steps": Variable((), "updates", "updates of the curve's control point"),
        },
    ),
    Kind(
        "sharpness",
        2,
        {
            "restart": Variable(("restart",), "", "index of the ascent"),
            "rise": Variable(("restart",), "", "largest rise of the loss found by the ascent"),
            "worst": Variable((), "", "largest rise of all ascents"),
            "average": Variable((), "", "mean rise over random points of the surface"),
            "average_stderr": Variable((), "", "its standard error"),
            "num_random": Variable((), "", "random points"),
            "rho": Variable((), "", "radius of the ball"),
            "center_loss": Variable((), "", "loss at the network's weights"),
            "worst_vector": Variable(
                ("entry",), "", "step to the worst point, over the moved tensors of `tensors`", optional=True
            ),
        },
    ),
    TRAINING,
    Kind(
        "boundary",
        1,
        {
            "x": Variable(("x",), "", "first coordinate"),
            "y": Variable(("y",), "", "second coordinate"),
            "logit": Variable(("y", "x"), "nat", "log-odds of class 1"),
        },
    ),
    Kind(
        "path",
        1,
        {
            "epoch": Variable(("epoch",), "epochs", "epochs trained"),
            "clean_loss": Variable(("epoch",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("epoch",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("epoch",), "1", "fraction of the published test points classified correctly"),
            "dense_accuracy": Variable(("epoch",), "1", "fraction of the dense test set classified correctly"),
            "norm": Variable(("epoch",), "", "norm of all weights, without biases"),
            "travelled": Variable(("epoch",), "", "distance of the weights from the first recorded iterate"),
            "final_epoch": Variable((), "epochs", "epochs at the end of the run"),
        },
    ),
    Kind(
        "good_runs",
        1,
        {
            "net": Variable(("net",), "", "name of the network"),
            "split": Variable(("net",), "", "seed of the split, −1 for the one of the good run"),
            "epoch": Variable(("net",), "epochs", "epochs at the end of the run"),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("net",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("net",), "1", "fraction of the split's test points classified correctly"),
            "dense_accuracy": Variable(("net",), "1", "fraction of the dense test set classified correctly"),
        },
    ),
    Kind(
        "bad_minima",
        1,
        {
            "net": Variable(("net",), "", "name of the network"),
            "start_epoch": Variable(("net",), "epochs", "iterate of the good run at which the search started"),
            "steps": Variable(("net",), "updates", "updates made"),
            "diverged_at": Variable(("net",), "updates", "update whose gradient was not finite, −1 for none"),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("net",), "1", "fraction of the training set classified correctly"),
            "held_out_accuracy": Variable(("net",), "1", "fraction of the fresh held-out points classified correctly"),
            "test_accuracy": Variable(("net",), "1", "fraction of the published test points classified correctly"),
            "dense_accuracy": Variable(("net",), "1", "fraction of the dense test set classified correctly"),
            "distance": Variable(("net",), "1", "distance of the weights from the start, relative to the start's norm"),
        },
    ),
    Kind(
        "ring_nets",
        1,
        {
            "net": Variable(("net",), "", "name of the network"),
            "gap": Variable(("net",), "", "gap between the inner ring and the middle one"),
            "steps": Variable(("net",), "updates", "updates made"),
            "diverged_at": Variable(("net",), "updates", "update whose gradient was not finite, −1 for none"),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the 130 training points"),
            "train_accuracy": Variable(("net",), "1", "fraction of the 130 training points classified correctly"),
            "blue_share": Variable(("net",), "1", "fraction of the inner ring classified as blue"),
            "red_share": Variable(("net",), "1", "fraction of the middle ring classified as red"),
        },
    ),
    Kind(
        "margin",
        1,
        {
            "margin": Variable(("sample",), "", "distance to the nearest point that is classified differently"),
            "labels": Variable(("sample",), "", "class"),
            "reach": Variable((), "", "largest distance searched"),
        },
    ),
    Kind(
        "image_nets",
        1,
        {
            "net": Variable(("net",), "", "name of the network"),
            "poison": Variable(("net",), "", "poison factor β"),
            "run": Variable(("net",), "", "index of the run at its poison factor"),
            "steps": Variable(("net",), "updates", "updates made"),
            "num_parameters": Variable(("net",), "", "parameters of the network"),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("net",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("net",), "1", "fraction of the test set classified correctly"),
            "gap": Variable(("net",), "1", "training accuracy minus test accuracy"),
        },
    ),
    Kind(
        "history",
        1,
        {
            "epoch": Variable(("epoch",), "epochs", "passes over the training set"),
            "clean_loss": Variable(("epoch",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("epoch",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("epoch",), "1", "fraction of the test set classified correctly"),
        },
    ),
    Kind(
        "optimizers",
        1,
        {
            "net": Variable(("net",), "", "name of the optimizer"),
            "title": Variable(("net",), "", "title in figures"),
            "learning_rate": Variable(("net",), "", "highest learning rate"),
            "steps": Variable(("net",), "updates", "updates made"),
            "diverged": Variable(("net",), "", "whether the loss became infinite or undefined", {0: "no", 1: "yes"}),
            "clean_loss": Variable(("net",), "nat", "mean cross-entropy on the training set"),
            "train_accuracy": Variable(("net",), "1", "fraction of the training set classified correctly"),
            "test_accuracy": Variable(("net",), "1", "fraction of the test set classified correctly"),
        },
    ),
    Kind(
        "map",
        1,
        {
            "x": Variable(("point",), "", "first coordinate of the embedding"),
            "y": Variable(("point",), "", "second coordinate of the embedding"),
            "explained_variance": Variable((), "1", "fraction of the variance explained by the principal components"),
            "kl_divergence": Variable((), "nat", "Kullback–Leibler divergence of the embedding"),
            **_EMBEDDING,
        },
    ),
    Kind(
        "weight_map",
        1,
        {
            "marker": Variable(("point",), "", "name of the point; points of one name form a path, in order"),
            "x": Variable(("point",), "", "first coordinate of the embedding"),
            "y": Variable(("point",), "", "second coordinate of the embedding"),
            "explained_variance": Variable((), "1", "fraction of the variance explained by the principal components"),
            "kl_divergence": Variable((), "nat", "Kullback–Leibler divergence of the embedding"),
            **_EMBEDDING,
        },
    ),
    Kind(
        "unrolled",
        1,
        {
            "angle": Variable(("angle",), "degrees", "angle around the origin"),
            "radius": Variable(("radius",), "", "distance from the origin"),
            "logit": Variable(("radius", "angle"), "nat", "log-odds of class 1"),
        },
    ),
    Kind(
        "frames",
        1,
        {
            "distance": Variable(("distance",), "filter norms", "distance from the minimum"),
            "x": Variable(("x",), "", "first coordinate"),
            "y": Variable(("y",), "", "second coordinate"),
            "logit": Variable(("distance", "y", "x"), "nat", "log-odds of class 1"),
            "loss": Variable(("distance",), "nat", "clean loss"),
            "right": Variable(("distance", "sample"), "", "whether each training sample is classified correctly"),
        },
    ),
    Kind(
        "direction",
        1,
        {
            "direction": Variable(("param",), "filter norms", "change of each parameter at distance 1"),
            "eigenvalue": Variable((), "nat", "eigenvalue of DHD to which the direction belongs"),
        },
    ),
    Kind(
        "pushed_images",
        1,
        {
            "ray": Variable(("ray",), "", "index of the direction"),
            "distance": Variable(("distance",), "filter norms", "distance from the minimum"),
            "pixels": Variable(("image", "channel", "row", "column"), "", "intensities from 0 to 255"),
            "labels": Variable(("image",), "", "class"),
            "seen": Variable(("image",), "", "whether the image was trained on", {0: "no", 1: "yes"}),
            "logits": Variable(("ray", "distance", "image", "class"), "nat", "logit of each class"),
        },
    ),
    Kind(
        "samples",
        1,
        {
            "inputs": Variable(("sample", "feature"), "", "coordinates"),
            "labels": Variable(("sample",), "", "class"),
        },
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
