"""Real things that tests run against: registries, base images, containers."""
