"""One file per dataflow: everything that is true of it."""
