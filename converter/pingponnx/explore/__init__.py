"""What if: one model in many ways, measured in parallel; which are worth having, and where they fit."""

from pingponnx.explore.cache import Cache
from pingponnx.explore.choices import Choice, Space
from pingponnx.explore.outcome import Outcome, front
from pingponnx.explore.parts import Part, load_parts
from pingponnx.explore.runner import explore

__all__ = ["Cache", "Choice", "Outcome", "Part", "Space", "explore", "front", "load_parts"]
