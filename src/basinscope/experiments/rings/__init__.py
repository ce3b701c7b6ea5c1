"""The rings: why a circle between two tight rings is hard to find (figure 8)."""
