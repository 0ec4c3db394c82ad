"""Pipelines that take several stages, or one after two axes became one."""
