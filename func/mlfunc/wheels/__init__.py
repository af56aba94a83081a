"""A function's Python packages for any target: resolved, locked as wheels, put into trees."""
