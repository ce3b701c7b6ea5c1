"""The minefield: training's path among bad minima (figure 1)."""
