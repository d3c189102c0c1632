"""Commands of the command line, one module a subject; `cli` registers them.

A command imports what it needs when it runs, so that `pingponnx --help` stays quick.
"""

from collections.abc import Callable

from pingponnx.commands.exploring import explore
from pingponnx.commands.planning import plan
from pingponnx.commands.regression import baseline, check
from pingponnx.commands.trend import trend

COMMANDS: tuple[Callable[..., None], ...] = (plan, check, baseline, trend, explore)
