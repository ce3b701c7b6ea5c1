"""Objects: figure 2 and the table of optimizers."""
