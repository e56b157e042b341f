"""Controls that stop or narrow agents: kill switches, autonomy and circuit breakers."""
