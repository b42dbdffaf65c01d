"""Charts of the HTML report: one file per subject, each a function from record data to Charts.

A chart is laid out here and drawn by plotly.js in the reader's browser. Nothing is measured or
derived: what a chart shows stands in the record; only points that no screen could tell apart are
joined, and the caption says so.
"""
