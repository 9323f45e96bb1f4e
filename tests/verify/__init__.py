"""The checker of histories: known verdicts, a brute-force twin, and planted faults."""
