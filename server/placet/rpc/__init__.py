"""The gRPC border: messages are parsed into values here, and values become messages."""
