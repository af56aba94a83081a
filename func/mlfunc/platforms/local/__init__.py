"""The local platform: functions as processes of this machine, kept as a cluster keeps them."""
