"""Kernels for cores; a package, for tests/ops has a module `support` of its own."""
