"""What a replay returns: counters with units, tables, JSON."""
