"""The story of a run: an index of what was found, a page for each frequency, and what to take along."""

from __future__ import annotations

from functools import partial

from scripts.report import Run, pages, write_table
from scripts.story import lists
from scripts.story.cards import card_file, card_html
from scripts.story.frequencies import frequencies_of
from scripts.story.index import index_html
from scripts.story.single import single_file, write_single
from scripts.story.tables import Tables
from scripts.story.told import story_table

__all__ = ["single_file", "write", "write_single"]


def write(run: Run) -> list[str]:
    """Write the story of a run from its tables and cells, whoever filled it; what is missing is told, or left out.

    Returns
    -------
    list of str
        Names of the files: `index.html`, the frequencies' pages, `story.csv`, and the lists of genes and scores of
        cells, where there are some.
    """
    tables = Tables(run)
    frequencies = frequencies_of(tables)
    table = partial(write_table, is_marked=tables.setting("01_data", "csv_safe", False))
    genes = lists.gene_table(tables, frequencies)
    written = [run.write("story.csv", partial(table, story_table(tables, frequencies)))]
    if len(genes):
        written.append(run.write_text("gene_lists.gmt", lists.as_gmt(genes)))
        written.append(run.write("gene_lists.tsv", partial(table, genes)))
    if tables.cells is not None:
        written.append(run.write("cell_scores.csv", partial(table, lists.scores(tables))))
    first = pages.about(run)
    for frequency in frequencies:
        html = card_html(tables, frequency, frequencies, first)
        written.append(run.write_text(card_file(frequency.number), html))
    written.append(run.write_text("index.html", index_html(tables, frequencies, first)))
    return [path.name for path in written]
