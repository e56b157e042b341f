"""The state of policy revisions: served, held back or confirmed."""
