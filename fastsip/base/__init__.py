"""What everybody upstairs stands on: texts, the collector, names of files."""
