"""A credential is how the gateway signs in to a provider: where the secret is found, and the provider's address.

The secret itself never enters an event. Stream: ``{org}/credential/{credential_id}``.
"""
