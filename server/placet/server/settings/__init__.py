"""Settings: their names, defaults and rules, one module for each subject, and the sources that they are read from."""
