"""The process beside the supervisor that may hang or die without harm: drivers of databases work there, and HTTP is
spoken there (http)."""
