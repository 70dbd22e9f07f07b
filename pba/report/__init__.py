"""What a run found, written for people: HTML, Markdown, a text for a mailing list, figures and tables.

`data` computes what is shown, `figures` draws it, `answers` and `summary` put it into words, `renderers` give
the words a form. The same run gives the same bytes.
"""

from pba.report.write import write_report

__all__ = ["write_report"]
