"""The use cases: decide, and read what was decided. They know the core and its ports alone."""
