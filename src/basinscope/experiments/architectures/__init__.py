"""Which model generalises: figure 2, its convolutional nets beside a linear model, and its table of optimizers."""
