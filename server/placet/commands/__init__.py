"""Changes that people make while the server runs: read, plan, commit, with a second person where needed."""
