"""The policy folder: its tree of files, strict YAML, tenant files, staged copies and archives."""
