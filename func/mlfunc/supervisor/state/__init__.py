"""What a supervisor remembers: one SQLite file."""
