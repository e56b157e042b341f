"""An action: its canonical document and digest, what its params say, what its call came to."""
