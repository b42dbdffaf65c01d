"""Operators cut into parts: regions of tensors, what they need of others, and graphs of tiles."""
