"""The tests of Raft Cache, a folder for each package."""
