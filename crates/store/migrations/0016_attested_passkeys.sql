-- Whether the maker of a passkey's device vouched for it.

ALTER TABLE passkey ADD COLUMN attested BOOLEAN NOT NULL DEFAULT FALSE;
