"""The parts of a machine, and the compute units it may have."""
