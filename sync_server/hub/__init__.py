"""A site's hub: tablets sync with it on the clinic's network, and it with the centre when there is a link.

Start reading at `admission` (what a tablet may do here) and `link` (what is done with the centre).
"""
