"""Permutations of a network's units that do not change what it computes."""
