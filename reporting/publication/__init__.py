"""Publication: what tablets need offline, from Postgres into the site databases.

`requests` asks for it in the transaction of a change; `desired` says what a document has to be now, from
Postgres alone; `deliver` brings a site database there. What is asked for names documents, never their
content: late, twice or out of order, the outcome is the current state.
"""
