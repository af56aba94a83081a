"""The page at the gateway's `/`: what happens on the local platform, live. It changes nothing."""
