"""What the planted bugs promise of themselves."""
