"""Policy authoring: reads the policy folder, checks it, bundles it."""
