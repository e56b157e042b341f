"""The pure heart: values and rules without clock, socket, SQL or wire types."""
