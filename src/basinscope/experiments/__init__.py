"""Experiments: each makes some of the paper's figures and holds its claims against what it measured."""
