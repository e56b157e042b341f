"""What stops or narrows agents: kill switches, levels of autonomy, circuit breakers."""
