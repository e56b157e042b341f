"""The wire, generated from proto/placet/v1; `make proto` writes it anew."""
