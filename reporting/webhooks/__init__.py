"""Webhooks: telling other systems what happened, signed, from the outbox."""
