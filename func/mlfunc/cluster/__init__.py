"""A Kubernetes cluster, as kubectl sees it: objects as the API server writes them, and no more.

What Knative means by them is no concern of this package.
"""
