"""Running one role of a job, or all of them on this machine."""
