"""Plots: labelled data in, matplotlib artists out; nothing here computes or shows."""
