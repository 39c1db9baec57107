"""The gateway: tablets' replication requests, checked against the policy, put on record, passed to the
store.
"""
