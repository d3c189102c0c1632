"""Commands of the command line, one module a subject; `cli` registers them.

A command imports what it needs when it runs, so that `pingponnx --help` stays quick.
"""

from collections.abc import Callable

from pingponnx.commands.planning import plan
from pingponnx.commands.regression import baseline, check

COMMANDS: tuple[Callable[..., None], ...] = (plan, check, baseline)
