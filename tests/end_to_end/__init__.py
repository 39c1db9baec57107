"""The whole system as it is deployed: real processes, real clients, really killed."""
