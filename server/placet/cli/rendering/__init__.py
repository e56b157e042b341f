"""The output of commands: tables, JSON documents, amounts, failures, exit codes."""
