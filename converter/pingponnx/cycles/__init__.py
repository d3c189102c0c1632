"""Modelled cycles: exact counts of executed blocks, priced by a table and a pipeline model of the core.

The numbers hold for memory without wait states; docs/measurement.md says how far they can be trusted.
"""

from pingponnx.cycles.account import (
    BlockCycles,
    FunctionCycles,
    attribute,
    by_function,
    by_region,
    cycles,
    hottest,
)
from pingponnx.cycles.board import BoardRow, import_board
from pingponnx.cycles.decode import Block
from pingponnx.cycles.flash import FlashModel, flash_cycles, get_flash_model
from pingponnx.cycles.image import Image, read_image
from pingponnx.cycles.model import CycleModel, cycle_model, load_models

__all__ = [
    "Block",
    "BlockCycles",
    "BoardRow",
    "CycleModel",
    "FlashModel",
    "FunctionCycles",
    "Image",
    "attribute",
    "by_function",
    "by_region",
    "cycle_model",
    "cycles",
    "flash_cycles",
    "get_flash_model",
    "hottest",
    "import_board",
    "load_models",
    "read_image",
]
