"""Functions on a cluster with Knative: what `mlfunc.knative` decides, done by `mlfunc.cluster`."""
