"""Solver backends: one module each, all with ``solve(model, effort, seed) -> Solution``."""
