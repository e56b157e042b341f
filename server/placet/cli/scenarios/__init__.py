"""Plays scripts of steps with expected answers: `placet demo` over gRPC, tests also inside the process."""
