"""`check` and `baseline`: is a run worse than what is committed, and committing it deliberately."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from pingponnx.arguments import AsJson
from pingponnx.errors import Error
from pingponnx.terminal import plain, print_json, read_json

_Run = Annotated[Path, typer.Argument(help="report.json of this run", show_default=False)]
_BASELINE = Path("reports/baseline.json")


def check(
    run: _Run,
    baseline: Annotated[Path | None, typer.Option("--baseline", help="report.json to compare with")] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="ram=0%, flash=1%, cycles=2%, instructions=2%")
    ] = None,
    budget: Annotated[list[str] | None, typer.Option("--budget", help="ram=16K, flash=128K, ...")] = None,
    budget_variant: Annotated[
        str, typer.Option("--budget-variant", help="the variant that is shipped")
    ] = "optimised",
    accept: Annotated[
        list[str] | None, typer.Option("--accept", help="tools or models: compare although they differ")
    ] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="write Markdown to this file")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="write JUnit XML to this file")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="write SARIF 2.1.0 to this file")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a report with a baseline: 0 nothing got worse, 1 something did, 2 cannot tell."""
    from pingponnx import check as checking
    from pingponnx.check import formats
    from pingponnx.output import write_file

    if baseline is None and not budget:
        raise Error("there is nothing to check against", "give --baseline or --budget")
    rules = checking.Rules(
        dict(checking.DEFAULT_LIMITS) | dict(checking.parse_limit(text) for text in limit or []),
        dict(checking.parse_budget(text) for text in budget or []),
        budget_variant,
        frozenset(accept or []),
    )
    content, base = read_json(run), _committed(baseline) if baseline else None
    verdict = checking.check(content, base, rules)
    read = [run, baseline] if baseline else [run]
    if markdown:
        write_file(markdown, formats.markdown(verdict).encode(), inputs=read)
    if junit:
        write_file(junit, formats.junit(verdict, checking.rows_of(content)), inputs=read)
    if sarif:
        write_file(sarif, formats.sarif(verdict, _uri(baseline or run)), inputs=read)
    if as_json:
        print_json(verdict.result())
    else:
        for line in formats.lines(verdict):
            print(plain(line))
    raise typer.Exit(verdict.exit_code)


def baseline(
    run: _Run,
    baseline: Annotated[Path, typer.Option("--baseline", help="the committed file")] = _BASELINE,
    as_json: AsJson = False,
) -> None:
    """Make a run the new baseline, and say what that accepts; commit the file on purpose."""
    from pingponnx import check as checking
    from pingponnx.check import formats
    from pingponnx.output import write_file
    from pingponnx.report.document import to_json

    content = read_json(run)
    wrong = [key for key, row in checking.rows_of(content).items() if not row["equal_to_reference"]]
    if wrong:
        raise Error(
            f"{', '.join(wrong[0])}: the generated C differs from the reference",
            "a wrong result is no baseline; run `pingponnx verify`",
        )
    accepted: dict[str, Any] = {"findings": [], "summary": "there was none before"}
    lines = [accepted["summary"]]
    if baseline.exists():
        rules = checking.Rules(accepted=frozenset(checking.ACCEPTABLE))
        verdict = checking.check(content, read_json(baseline), rules)
        accepted, lines = verdict.result(), list(formats.lines(verdict))
    write_file(baseline, to_json(content).encode())
    if as_json:
        print_json({key: accepted[key] for key in ("findings", "summary")})
    else:
        for line in lines:
            print(plain(line))
        print(plain(f"{baseline}: {len(content['measurements'])} measurements"))


def _committed(path: Path) -> Any:
    if not path.exists():
        raise Error(f"there is no baseline {path}", "make one with `pingponnx baseline RUN.json`")
    return read_json(path)


def _uri(path: Path) -> str:
    """Relative to the current folder where it is below it: what code scanning takes for the repository."""
    path, here = path.resolve(), Path.cwd()
    return quote(path.relative_to(here).as_posix()) if path.is_relative_to(here) else path.as_uri()
