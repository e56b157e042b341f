"""Commands that check policy and show the served one."""
