"""Tests of the orchestrator: cluster.yaml, state, supervisord, the verbs, the launchers."""
