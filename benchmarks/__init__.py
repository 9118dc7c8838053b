"""Measurements: python -m benchmarks.<name>. Each prints a table, or JSON with --json."""
