"""The HTML report as values: sections made of cards, tables, charts and notes.

Each module turns one subject of a run record into :class:`accelsim.report.page.blocks.Section`;
the templates give them their looks.
"""
