-- What has ended long ago is removed in small steps. What may be removed lies below a horizon that is moved first.

-- How far tidying has come, in one row.
CREATE TABLE tidying (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- The last round.
    at INTEGER NOT NULL,
    -- Certificates and revocations that ended before this may go.
    ended_before INTEGER NOT NULL CHECK (ended_before <= at),
    -- Clients' addresses are blanked up to this row of the audit log.
    blanked INTEGER NOT NULL
) STRICT;
INSERT INTO tidying (id, at, ended_before, blanked) VALUES (1, 0, 0, 0);

-- The last row that was removed from the beginning of the audit log, and its hash, which the next one covers.
CREATE TABLE audit_checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_checkpoint (id, last, hash) VALUES (1, 0, x'');

-- The newest version that an item ever had, where its certificate is gone: the next one counts on from there.
CREATE TABLE former_versions (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    version INTEGER NOT NULL
) STRICT;

-- How many of a list's leaves are gone for good.
ALTER TABLE crls ADD COLUMN leaves_gone INTEGER NOT NULL DEFAULT 0;

-- Who still needs an authorization. New ones stand at its end, where an insertion costs least.
CREATE INDEX order_authorizations_by_authorization ON order_authorizations (authorization);

-- A revoked certificate goes with its revocation, and neither before its end and the horizon.
DROP TRIGGER certificates_are_never_deleted;
CREATE TRIGGER certificates_are_kept BEFORE DELETE ON certificates
WHEN old.not_after >= coalesce((SELECT ended_before FROM tidying), 0)
    OR EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = old.id)
BEGIN
    SELECT RAISE(ABORT, 'certificates are append-only until they ended long ago');
END;

-- The revocations of CA certificates stay, as these do.
DROP TRIGGER revocations_are_never_deleted;
CREATE TRIGGER revocations_are_kept BEFORE DELETE ON revocations
WHEN old.not_after >= coalesce((SELECT ended_before FROM tidying), 0) OR old.shard IS -1
BEGIN
    SELECT RAISE(ABORT, 'revocations are append-only until their certificates ended long ago');
END;
CREATE TRIGGER certificates_go_with_their_revocations AFTER DELETE ON revocations WHEN old.certificate IS NOT NULL
BEGIN
    DELETE FROM certificates WHERE id = old.certificate;
END;

-- The audit log loses its beginning only, never what somebody is still to be told, and never its newest row.
CREATE TRIGGER audit_checkpoint_is_moved_with_care BEFORE UPDATE ON audit_checkpoint
WHEN new.last <= old.last
    OR EXISTS (SELECT 1 FROM event_cursors c WHERE c.last < new.last)
    OR new.last >= (SELECT max(id) FROM audit)
    OR new.hash IS NOT (SELECT hash FROM audit WHERE id = new.last)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only beyond what every listener was told');
END;
DROP TRIGGER audit_is_never_deleted;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN old.id > coalesce((SELECT last FROM audit_checkpoint), 0)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only beyond its checkpoint');
END;
