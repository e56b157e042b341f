"""The checks of `placet doctor`."""
