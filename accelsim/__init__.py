"""Simulate, schedule and certify neural-network accelerators from one config file."""
