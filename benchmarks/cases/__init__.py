"""One benchmark per file, each with ``TITLE``, ``ABOUT`` and ``measure(settings) -> Measured``."""
