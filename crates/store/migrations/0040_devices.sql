-- Beside addresses, what browsers say of themselves.
ALTER TABLE idv_seen ADD COLUMN kind TEXT NOT NULL DEFAULT 'address';
-- Sealed in another way from here on.
DELETE FROM idv_seen;
