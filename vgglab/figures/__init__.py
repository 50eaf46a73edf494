"""Plots, and the figures that readers touch."""
