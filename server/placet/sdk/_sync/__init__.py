"""The clients for code that blocks."""
