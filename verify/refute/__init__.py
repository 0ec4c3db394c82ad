"""Inputs that refute: found, run, and told."""
