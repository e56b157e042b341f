"""Changes that people make while the server runs: read, decide, commit, with a second person where needed."""
