"""OPA and Regal: find and install them, and run their check, test, format and lint commands."""
