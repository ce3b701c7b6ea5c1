"""How minima are found, good ones and, with poison, bad ones."""
