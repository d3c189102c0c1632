"""`trend`: RAM, flash and cycles over commits."""

from pathlib import Path
from typing import Annotated

import typer

from pingponnx.arguments import AsJson
from pingponnx.errors import Error
from pingponnx.terminal import print_json, print_table, read_json


def trend(
    history: Annotated[
        Path, typer.Argument(help="folder with a file per commit, or a committed report.json")
    ] = Path("reports/history"),
    run: Annotated[Path | None, typer.Option("--add", help="report.json to add to the folder")] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="its commit; what is checked out")] = None,
    date: Annotated[str | None, typer.Option("--date", help="when that was made, ISO 8601")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="draw it: a page")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how RAM, flash and cycles went over commits, from a folder or from git."""
    from pingponnx import history as past
    from pingponnx.output import write_file
    from pingponnx.report.trend_page import trend_page, trend_result, trend_rows

    if run:
        if history.is_file():
            raise Error(f"{history} is no folder", "give the folder of the history")
        if (commit is None) != (date is None):
            raise Error("a commit and its date belong together", "give both --commit and --date, or none")
        where = past.current_commit(Path.cwd()) if commit is None or date is None else (commit, date)
        past.add(history, past.entry_of(read_json(run), *where))
    entries = past.read_git(history) if history.is_file() else past.read_folder(history)
    if html:
        write_file(html, trend_page(entries).encode())
    if as_json:
        print_json(trend_result(entries))
    else:
        print_table(trend_rows(entries))
        print(f"{len(entries)} commits, {entries[0].label} to {entries[-1].label}")
