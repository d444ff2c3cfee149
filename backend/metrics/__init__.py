"""What the server measures of itself: its speed, kept for estimates, and what `/metrics` tells."""
