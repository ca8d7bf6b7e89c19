"""Small commands for whoever works on the router: where things stand, and what happens to one message."""
