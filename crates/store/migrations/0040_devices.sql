-- Beside addresses, what is seen of browsers and of the keys that they keep: each of them makes room for its own kind.
ALTER TABLE idv_seen ADD COLUMN kind TEXT NOT NULL DEFAULT 'address';
