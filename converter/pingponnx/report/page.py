"""Self-contained web pages: one file, no network, light and dark, the same bytes for the same content.

The policy in each page lets a browser run the scripts of this module and nothing else, whatever a name from
a model may say; names are escaped besides.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pingponnx.report import plan_map
from pingponnx.report.charts import library
from pingponnx.terminal import plain


def page(template: str, *, charts: bool = False, **values: Any) -> str:
    """A page from a template that extends `page.html.j2`; with `charts` it carries what draws them."""
    scripts = [*([library()] if charts else []), _asset("page.js")]
    environment = Environment(
        loader=PackageLoader("pingponnx"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        scripts=[Markup(text) for text in scripts],
        allowed=[_digest(text) for text in scripts],
        css=Markup(_asset("page.css") + plan_map.style()),
        **values,
    )


def _asset(name: str) -> str:
    return files("pingponnx").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """How a content security policy names a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _printable(value: Any) -> Any:
    """No control characters, and none that turn the direction of text: they would reorder what is around."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
