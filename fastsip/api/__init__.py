"""The door through which operators ask."""
