"""The swiss roll: figures 3, 5 (its half) and 6."""
