"""Values of the SDK into protobuf messages, and back."""
