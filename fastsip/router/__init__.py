"""The process that routes: shards, what their control plane does, and what both will need."""
