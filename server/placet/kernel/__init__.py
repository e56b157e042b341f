"""The shared words: actions, decisions, state, errors, rule ids, limits. Imports nothing of Placet."""
