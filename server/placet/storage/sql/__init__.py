"""What both engines share: schema, statements, the commit transaction, readers."""
