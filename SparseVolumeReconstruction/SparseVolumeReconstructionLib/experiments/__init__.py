"""The experiments of the papers: their tables and figures made again, beside the printed numbers."""
