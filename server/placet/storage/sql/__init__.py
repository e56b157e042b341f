"""SQL for both engines: schema, statements, the commit transaction, and readers."""
