-- What a forgettable payload is found by, where it has that: an HMAC in its body. Looked up under the log's lock, by the batch that would
-- otherwise write a second one; unique all the same, as the last line of defence. Rows without one have null there, which repeats freely.
CREATE UNIQUE INDEX forgettable_hmac_idx ON forgettable (org, kind, (body ->> 'hmac'));
