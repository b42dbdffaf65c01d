"""Networks as frozen graphs, and the readers that make them."""
