"""An assistant with memory that runs offline, with a scripted model in place of a real one.

From the root of the project: ``python -m examples.assistant --script``.
"""
