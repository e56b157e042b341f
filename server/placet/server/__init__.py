"""The composition root: settings, and the only place that picks real things."""
