"""Controls that stop or narrow agents: kill switches, autonomy, circuit breakers, and the register of agents."""
