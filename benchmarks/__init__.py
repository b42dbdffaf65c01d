"""Speed and memory of accelsim, alone and beside other tools: ``python -m benchmarks.run``."""
