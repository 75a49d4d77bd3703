"""Figures of streams: how fast one worker is, and what a kill and a share do."""
