"""Good and bad minima of image networks: figures 4, 5 (images) and 7."""
