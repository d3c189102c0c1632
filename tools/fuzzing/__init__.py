"""Fuzzing of everything that reads a stranger's file: docs/hardening.md."""
