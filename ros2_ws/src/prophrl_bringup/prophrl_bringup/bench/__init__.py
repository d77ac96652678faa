"""Benchmarks of the running cell, each one ``prophrl bench`` command."""
