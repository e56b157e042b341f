"""Names, people, globs and pointers: when two texts mean the same."""
