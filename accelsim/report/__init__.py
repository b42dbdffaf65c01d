"""Views of a run record. They draw and compute nothing."""
