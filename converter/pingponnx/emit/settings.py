"""What the generated text says about how it was made."""

from dataclasses import dataclass

from pingponnx.fixed_point import Rounding


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices behind a generated library, as its header and manifest name them."""

    variant: str
    target: str
    goal: str
    rounding: Rounding
    hot_weights: int = 0  # bytes of RAM
    flash_model: str | None = None
