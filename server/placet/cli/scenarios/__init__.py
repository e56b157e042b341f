"""Plays a scripted list of calls against a server, for `placet demo`."""
