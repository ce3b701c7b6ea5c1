"""Schema of measurements during training."""

from __future__ import annotations

from basinscope.results.variables import Kind, Variable

TRAINING = Kind(
    "training",
    1,
    {
        "step": Variable(("step",), "updates", "updates made before the measurement"),
        "status": Variable(("step",), "", "how the measurement ended", {0: "ok", 1: "nonfinite_loss", 2: "failed"}),
        "loss": Variable(("step",), "", "loss of the objective", optional=True),
        "top_eigenvalue": Variable(("step",), "", "largest eigenvalue of the Hessian", optional=True),
        "top_residual": Variable(("step",), "", "‖Hv − λv‖ of the eigenpair", optional=True),
        "top_status": Variable(
            ("step",),
            "",
            "whether the eigenpair converged",
            {0: "ok", 1: "max_steps", 2: "not_measured"},
            optional=True,
        ),
        "trace": Variable(("step",), "", "trace of the Hessian", optional=True),
        "trace_stderr": Variable(("step",), "", "its standard error", optional=True),
        "num_products": Variable(("step",), "", "products of the Hessian and a vector", optional=True),
        "worst_sharpness": Variable(("step",), "", "largest rise of the loss found in the ball", optional=True),
        "average_sharpness": Variable(("step",), "", "mean rise over random points of its surface", optional=True),
        "average_sharpness_stderr": Variable(("step",), "", "its standard error", optional=True),
        "learning_rate": Variable(("step",), "", "largest learning rate η of the parameter groups", optional=True),
        "threshold": Variable(
            ("step",),
            "",
            "largest eigenvalue at which the optimizer is stable, 2/η without momentum",
            optional=True,
        ),
        "probe": Variable(("probe",), "", "name of a further number", optional=True),
        "value": Variable(("probe", "step"), "", "further number", optional=True),
    },
)
