"""One module for each schema revision, named by its number."""
