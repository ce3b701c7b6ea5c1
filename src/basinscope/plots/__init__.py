"""Plots: draw labelled data with matplotlib and return the artists; they neither compute nor show."""
