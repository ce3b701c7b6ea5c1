"""House numbers: figures 4, 5 (its half on images) and 7."""
