"""Functions on this machine with Knative's semantics, and no cluster: a process of its own.

It keeps the objects that a cluster would keep (Services, Revisions, Triggers ...) and serves them
by the API that a cluster serves, so that every command works on it as it does on a cluster.
"""
