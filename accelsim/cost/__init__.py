"""Energy and area tables, each number with its source."""
