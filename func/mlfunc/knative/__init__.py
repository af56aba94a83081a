"""What Knative is told of a function, and what its objects say: decided, never done.

All of it is pure: from data to data. Talking to the cluster is `mlfunc.cluster`'s business.
"""
