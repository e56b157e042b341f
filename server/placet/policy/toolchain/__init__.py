"""OPA and Regal as commands: find, install, compile, test, lint."""
