"""Renderers: each turns a record into one format and knows no analysis.

A new format is one new function and one line in `FORMATS`; see `gradflow.render.renderer`.
"""

from gradflow.registry import Registry

# Text formats: each name stands for a `TextRenderer`.
FORMATS: Registry = {
    "table": "gradflow.render.text.table:render_table",
    "json": "gradflow.render.text.json:render_json",
    "jsonl": "gradflow.render.text.json:render_jsonl",
    "csv": "gradflow.render.text.delimited:render_csv",
    "tsv": "gradflow.render.text.delimited:render_tsv",
    "md": "gradflow.render.text.markdown:render_markdown",
    "html": "gradflow.render.text.html:render_html",
    "latex": "gradflow.render.text.latex:render_latex",
    "chart": "gradflow.render.terminal.chart:render_chart",
}

# Kinds of picture files: each module has ``check_matplotlib()`` and ``encode_figure(record, kind, table)``.
PICTURES: Registry = dict.fromkeys(("png", "svg", "pdf"), "gradflow.render.plots.files")
SUMMARY_NAME = "summary"  # of the table that holds the scalars
