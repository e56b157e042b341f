# Generated from server/placet/sdk/_async/__init__.py by deploy/tools/sync_sdk.py. Do not edit.
"""The clients for code that blocks."""
