"""People who approve one exact action: the approval's states, votes and who may cast them."""
