"""The memory plan of one model as a page: the picture, the ladder and the blocks."""

from markupsafe import Markup

from pingponnx.names import short
from pingponnx.pipeline import Conversion
from pingponnx.report.page import page
from pingponnx.report.picture import picture
from pingponnx.report.plan_map import embedded_map
from pingponnx.report.tables import plan_rows

_TEXT = ("strategy", "kind", "name", "from", "to", "rows")


def plan_page(conversion: Conversion) -> str:
    """The text of an HTML file, which needs nothing else."""
    shown, options = picture(conversion.graph, conversion.plan), conversion.options
    setting = f"{options.variant}, {conversion.target.name}, goal {options.goal}, input {options.input_mode}"
    blocks = [
        {
            "kind": block.kind,
            "name": short(block.name) if block.kind != "scratch" else "",
            "offset": f"{block.offset:,}",
            "bytes": f"{block.bytes:,}",
            "from": shown.label(block.first),
            "to": shown.label(block.last),
            "rows": block.note,
        }
        for block in shown.blocks
    ]
    return page(
        "plan.html.j2",
        title=f"Memory plan of {short(shown.model)}",
        certificate=f"A{shown.certificate[1:]}",
        setting=f"{setting}, effort {options.effort}",
        drawing=Markup(embedded_map(shown)),
        strategies=plan_rows({"plan": conversion.plan.row()}),
        blocks=blocks,
        text_columns=_TEXT,
    )
