"""The composition root: the only place that picks real things."""
