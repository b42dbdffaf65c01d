"""Exact scheduling, tensor residency and scratchpad placement."""
