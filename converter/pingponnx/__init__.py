"""pingponnx turns ONNX models into C for Arm Cortex-M and measures what that costs."""

__version__ = "0.1.0"
