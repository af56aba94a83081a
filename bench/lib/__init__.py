"""What the benches share: processes, load, statistics, tables."""
