"""Desired objects as plain manifests: one kind per file, pure functions of the spec and the settings."""
