"""The register of agents: who answers for each agent, who may run it, and until when."""
