"""What researchers read: datasets of documented variables, and what is computed from them."""
