"""Experiments: each reproduces some of the paper's figures and checks the paper's claims."""
