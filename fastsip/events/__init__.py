"""What happens to destinations, sources, the configuration and the router, as a record that others can follow."""
