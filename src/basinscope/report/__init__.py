"""Shows a folder of results as one self-contained page."""
