"""Contrastive unlearning for vision models: data, losses, methods, the loop and the audit.

Imports neither Ray nor MLflow; every part runs in a plain Python process or under ``torchrun``.
"""

__version__ = "0.1.0"
