"""The gRPC server: intake, errors, refused requests, health."""
