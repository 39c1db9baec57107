"""The gateway, the command line and the pusher, as a tablet and an operator meet them."""
