"""Compares names, people, globs and JSON pointers."""
