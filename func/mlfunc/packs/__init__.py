"""Our buildpacks' logic. Each says, as data, which layers a project needs and how it is launched.

The embedded builder (`mlfunc.builder`) streams these layers into an image; under a lifecycle of
Cloud Native Buildpacks the same layers are written to folders (`mlfunc.packs.contract`).
"""
