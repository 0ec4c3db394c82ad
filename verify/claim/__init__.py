"""Fused forms that somebody else claims: run, related to a derived one, verified."""
