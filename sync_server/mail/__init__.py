"""Mails to people: what they say, how they are composed, how they are sent."""
