"""`python -m pingponnx`."""

from pingponnx.cli import main

main()
