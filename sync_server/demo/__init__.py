"""What the demo shows when there is no clinic at hand: made-up sessions, and a tablet that syncs them."""
