"""A rewind is a loss of the log's end, noticed: a failover or a restored backup took back what had been acknowledged.

Written once per lost position and hash, by whichever process notices first. Stream: ``{org}/rewind/{position}-{hash}``.
"""
