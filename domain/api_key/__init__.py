"""An API key lets a program of one team call the gateway, within permissions and limits.

It is issued once, may be suspended and activated again, and ends revoked, expired or deleted.
The secret is never stored: only its prefix for people and its SHA-256 for look-up. Stream: ``{org}/api-key/{api_key_id}``.
"""
