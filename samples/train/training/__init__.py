"""Trains GourmetGram's classifier on generated pictures and registers it when its tests pass."""
