"""Interceptors: what every call goes through before and after its servicer."""
