"""Events: taken from whoever sends them, kept, and brought to whom they are for."""
