"""An end user is a person on whose behalf a client asks, known to the log by a random reference alone.

The client's own id of them is a forgettable payload, sought by its HMAC; once it is erased the reference says nothing about anybody,
and the same person, met again, is somebody new. Stream: ``{org}/end-user/{reference}``.
"""
