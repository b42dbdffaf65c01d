"""Charts of the HTML report: one file per subject, each a function from record data to Charts.

A chart is laid out here and drawn by plotly.js in the reader's browser. What it shows stands in the
record: rows are summed and points that no screen could tell apart are joined (the caption says
so), nothing else is computed.
"""
