"""The servicers: one for each service of the protos, each a subclass of the generated one."""
