"""What commands print: tables, documents, amounts, failures, exit codes."""
