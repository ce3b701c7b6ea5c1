"""Searches for the first crossing along rays: brackets, many rays together, one ray after another."""
