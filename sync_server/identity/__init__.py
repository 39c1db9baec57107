"""Who is calling: people with a password and an access token, devices with an enrolled credential."""
