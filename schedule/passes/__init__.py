"""Rewrites of kernels: functions with `before -> after`, each with the obligation that covers it."""
