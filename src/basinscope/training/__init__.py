"""Training of networks to good minima and, with poison, to bad ones."""
