"""The minefield: the path of training among bad minima (figure 1)."""
