"""Turning the histories of git repositories into code-edit tasks."""
