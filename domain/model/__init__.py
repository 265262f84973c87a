"""A model is what clients name in a request: a provider's model behind a credential, with defaults and prices.

A definition: each change of its content is a new version. Prices are facts of their own, each in force from a moment on.
Stream: ``{org}/model/{model_id}``.
"""
