"""Parts of a server: each module builds one from the settings, such as the decision path or the policy source."""
