"""Fault injection on ONNX networks, statistics and FMEDA."""
