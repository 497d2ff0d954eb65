"""What the processes of both services have in common: how they are set, started, ended and watched."""
