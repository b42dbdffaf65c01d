"""Energy and area: tables in which every number has its source, and the sums over a simulation."""
