"""Tests of the plumbing, against real servers."""
