"""SQL text for each table, compiled once in the dialect of the engine."""
