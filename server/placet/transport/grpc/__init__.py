"""The gRPC server: message intake, error statuses, health."""
