"""Which destination, and what is known of each."""
