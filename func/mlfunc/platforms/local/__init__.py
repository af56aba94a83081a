"""Functions on this machine, as `mlfunc.supervisor` keeps and serves them."""
