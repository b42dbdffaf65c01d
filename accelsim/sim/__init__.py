"""Discrete-event execution of task graphs, and its trace."""
