"""Values of the SDK to protobuf messages, and back."""
