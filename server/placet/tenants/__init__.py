"""A tenant's file: its document, its checks, and the compiled values that decisions read."""
