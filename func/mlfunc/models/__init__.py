"""A function's models: where they come from, what pins them, how they get into the image."""
