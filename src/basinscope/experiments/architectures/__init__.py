"""Models and optimizers on images: figure 2, convolutional nets against a linear model, and many optimizers."""
