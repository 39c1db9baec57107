"""TLS of what listens here: with a certificate that was given, or one of a site's own authority."""
