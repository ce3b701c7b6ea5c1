"""Good and bad minima of image networks: figures 4, 5 (its half on images) and 7."""
