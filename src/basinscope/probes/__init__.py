"""What is measured around a minimum: one estimator a file."""
