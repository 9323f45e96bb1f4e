"""Tests of the demo: the judgement above all, which must not miss a lost write."""
