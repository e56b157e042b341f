"""Policy authoring: read, check and bundle the policy folder."""
