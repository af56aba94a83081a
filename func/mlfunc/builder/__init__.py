"""From a project to an image: decided first, then made, composed and delivered.

`building` tells the whole story, `deciding` its first half; ARCHITECTURE.md, "The path of a build",
has all modules in their order.
"""
