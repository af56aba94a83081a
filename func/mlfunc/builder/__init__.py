"""From a project to an image: what must be there, what of it is made already, and the rest.

naming      the image's name, from options, mlfunc.yaml and the environment
base        the image below: pinned, looked through once for its Python
library     what that Python lacks: its compiled modules
settling    mlfunc.lock: base, packages, models
records     what an image says of its layers, by their keys
planning    layers -> which are reused, which are made, and why: pure
launcher    the script that starts the process
outfit      the small layers that are ours: SBOM, launcher, metadata, process types
image       layers and launch -> config and manifest: pure
labels      what buildpack tools read of it
assembly    the executor: layers made side by side
building    the whole story
"""
