"""The programs of docs/examples, each at a real cluster."""
