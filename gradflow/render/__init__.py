"""Renderers: a record in, one format out; none knows an analysis.

Each module has ``render(record, style) -> str`` and says in ``CARRIES_NOTES`` whether its text holds the
record's notes; where it does not, a command tells them on stderr.
"""

from gradflow.registry import Registry

FORMATS: Registry = {
    "table": "gradflow.render.table",
    "json": "gradflow.render.json",
    "jsonl": "gradflow.render.jsonl",
    "csv": "gradflow.render.csv",
    "tsv": "gradflow.render.tsv",
    "md": "gradflow.render.markdown",
    "html": "gradflow.render.html",
    "latex": "gradflow.render.latex",
    "chart": "gradflow.render.chart",
}

# Pictures in files: each module has ``check()``, and ``encoded(record, kind, table) -> bytes``.
PICTURES: Registry = dict.fromkeys(("png", "svg", "pdf"), "gradflow.render.plot")
