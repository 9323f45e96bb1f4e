"""Planted bugs: mistakes that real systems have shipped, put in to see whether they are found.

They stand behind ``bin/test --bugs``. A simulator and tests that pass prove little by themselves;
what each of these costs to find says what they are worth.
"""
