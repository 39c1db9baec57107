"""Consent: forms that are published, what participants have signed, withdrawals, and what that comes to.

`state` says in one place whether somebody consents, now or at a moment; `flagging` flags sessions without;
`forms` are drafts and published versions; `records` is what people read and record.
"""
