"""YAML with positions in, frozen configuration out."""
