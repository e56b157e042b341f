"""The checks of `placet policy check`, most of which must pass before policy is served."""
