"""The network: its table of configurations, its heads, itself, and models by their names.

Nothing is imported here, so that the table needs no torch.
"""
