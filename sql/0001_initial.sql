-- Times are seconds since 1970-01-01T00:00:00Z. Public identifiers in URLs are these row ids: AUTOINCREMENT never gives
-- one out twice, and every resource is shown to its own account only.

-- What a command can name. A deleted item keeps its row, since certificates and audit rows refer to it.
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL UNIQUE,
    display_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('DFC_KEY', 'PKI_CERT_ISSUER', 'CERTIFICATE')),
    enabled INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    delete_protection INTEGER NOT NULL DEFAULT 0,
    description TEXT NOT NULL DEFAULT '',
    delete_at INTEGER,
    deleted INTEGER
) STRICT;
CREATE UNIQUE INDEX items_by_name ON items (name) WHERE deleted IS NULL;
CREATE INDEX items_by_deletion ON items (delete_at) WHERE delete_at IS NOT NULL AND deleted IS NULL;

CREATE TABLE item_tags (
    item INTEGER NOT NULL REFERENCES items (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (item, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    algorithm TEXT NOT NULL,
    hash TEXT NOT NULL,
    split_level INTEGER NOT NULL,
    certificate_format TEXT NOT NULL CHECK (certificate_format IN ('pem', 'der'))
) STRICT;

-- `sealed` is the private key under a key-encryption key whose fragments are files named after `fragments`; it is NULL
-- once the key is deleted.
CREATE TABLE key_versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key INTEGER NOT NULL REFERENCES keys (item),
    version INTEGER NOT NULL,
    fragments TEXT NOT NULL UNIQUE,
    sealed BLOB,
    spki BLOB NOT NULL,
    -- As its certificate has it, and so what certificates below call their authority.
    key_identifier BLOB NOT NULL UNIQUE,
    -- What another CA is asked to sign (PKCS #10), until there is a certificate.
    request BLOB,
    created INTEGER NOT NULL,
    UNIQUE (key, version)
) STRICT;

-- The certificates of signers. A version signs from its first one on. Of each kind the newest counts; while there is a
-- cross-signed one that is not retired, chains end in it.
CREATE TABLE ca_certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL REFERENCES key_versions (id),
    kind TEXT NOT NULL CHECK (kind IN ('self-signed', 'subordinate', 'cross', 'foreign')),
    serial BLOB NOT NULL,
    certificate BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    -- The version that signed it; its own for a self-signed one, NULL for one that another CA signed.
    signed_by INTEGER REFERENCES key_versions (id),
    created INTEGER NOT NULL,
    retired INTEGER
) STRICT;
CREATE INDEX ca_certificates_by_version ON ca_certificates (version);
CREATE UNIQUE INDEX ca_certificates_by_signer ON ca_certificates (signed_by, serial) WHERE signed_by IS NOT NULL;

-- What stands above a certificate that another CA signed, its root last.
CREATE TABLE foreign_chains (
    ca_certificate INTEGER NOT NULL REFERENCES ca_certificates (id),
    position INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (ca_certificate, position)
) STRICT, WITHOUT ROWID;

-- Sets of fragments that are being written, or are no longer needed: a start removes what a crash left of them.
CREATE TABLE passing_fragments (
    fragments TEXT PRIMARY KEY,
    split_level INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys that seal values in this database; split into fragments like a signer's.
CREATE TABLE data_keys (
    name TEXT PRIMARY KEY,
    fragments TEXT NOT NULL UNIQUE,
    split_level INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE issuers (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    signer_key INTEGER NOT NULL REFERENCES keys (item),
    ttl INTEGER NOT NULL,
    acme_enabled INTEGER NOT NULL,
    gw_cluster_url TEXT,
    destination_path TEXT,
    allow_subdomains INTEGER NOT NULL,
    disable_wildcards INTEGER NOT NULL,
    allow_any_name INTEGER NOT NULL,
    client_flag INTEGER NOT NULL,
    critical_key_usage INTEGER NOT NULL,
    not_require_cn INTEGER NOT NULL,
    require_eab INTEGER NOT NULL,
    tls_issuer INTEGER NOT NULL,
    reuse_authorizations INTEGER NOT NULL,
    terms_of_service TEXT,
    website TEXT,
    renew_before INTEGER,
    create_private_crl INTEGER NOT NULL,
    create_private_ocsp INTEGER NOT NULL,
    ocsp_ttl INTEGER NOT NULL,
    ocsp_nonce INTEGER NOT NULL,
    public_url TEXT
) STRICT;
CREATE INDEX issuers_by_key ON issuers (signer_key);

-- The lists among an issuer's settings: allowed-domains, allowed-ip-sans, key-usage, challenges, organizations …
CREATE TABLE issuer_values (
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    list TEXT NOT NULL,
    position INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (issuer, list, position)
) STRICT, WITHOUT ROWID;

-- Every gw-cluster-url that an issuer ever had: accounts remember their URL under it.
CREATE TABLE issuer_urls (
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    url TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (issuer, url)
) STRICT, WITHOUT ROWID;

CREATE TABLE eabs (
    kid TEXT PRIMARY KEY,
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    sealed_mac_key BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0 CHECK (used <= uses),
    allowed_domains TEXT,
    no_challenge INTEGER NOT NULL DEFAULT 0,
    authorized_until INTEGER,
    note TEXT NOT NULL DEFAULT '',
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX eabs_by_issuer ON eabs (issuer, expires);

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    spki BLOB NOT NULL,
    thumbprint TEXT NOT NULL,
    contacts TEXT NOT NULL,
    terms_agreed INTEGER,
    eab TEXT REFERENCES eabs (kid),
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    deactivated INTEGER,
    deleted INTEGER
) STRICT;
CREATE UNIQUE INDEX accounts_by_key ON accounts (issuer, thumbprint) WHERE deleted IS NULL;
CREATE INDEX accounts_by_key_everywhere ON accounts (spki);
CREATE INDEX accounts_by_eab ON accounts (eab) WHERE eab IS NOT NULL;

-- How much an issuer, or one account of it, may ask for. No row means no limit.
CREATE TABLE limits (
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    account INTEGER REFERENCES accounts (id),
    kind TEXT NOT NULL,
    value INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX limits_by_kind ON limits (issuer, coalesce(account, 0), kind);

CREATE TABLE authorizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id),
    identifier_type TEXT NOT NULL,
    identifier TEXT NOT NULL,
    wildcard INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    deactivated INTEGER,
    -- Made by newAuthz: serves orders until it expires.
    standing INTEGER NOT NULL DEFAULT 0,
    -- Serves the names below it as well (RFC 9444).
    subdomains INTEGER NOT NULL DEFAULT 0,
    -- Given on the strength of an EAB alone.
    unchallenged INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX authorizations_by_expiry ON authorizations (expires);
CREATE INDEX authorizations_of_domains ON authorizations (account) WHERE subdomains = 1;
CREATE INDEX authorizations_by_name ON authorizations (account, identifier, standing, expires);

-- `requested` without `validated` or `failed` is a validation that is due or running; it is taken up at every start.
CREATE TABLE challenges (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    authorization INTEGER NOT NULL REFERENCES authorizations (id),
    type TEXT NOT NULL,
    token TEXT NOT NULL,
    requested INTEGER,
    validated INTEGER,
    failed INTEGER,
    -- When the name's CAA records were last seen to permit it; never where the issuer did not ask.
    caa_checked INTEGER,
    error_class TEXT,
    error_detail TEXT,
    UNIQUE (authorization, type)
) STRICT;
CREATE INDEX challenges_due ON challenges (id) WHERE requested IS NOT NULL AND validated IS NULL AND failed IS NULL;

CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    not_before INTEGER,
    not_after INTEGER,
    profile TEXT,
    replaces INTEGER REFERENCES certificates (id),
    csr_hash BLOB
) STRICT;
CREATE INDEX orders_by_expiry ON orders (expires);
CREATE INDEX orders_by_account ON orders (account, id);
CREATE INDEX orders_by_replaced ON orders (replaces) WHERE replaces IS NOT NULL;

CREATE TABLE order_authorizations (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    position INTEGER NOT NULL,
    identifier_type TEXT NOT NULL,
    identifier TEXT NOT NULL,
    authorization INTEGER NOT NULL REFERENCES authorizations (id),
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

-- Append-only. `order_id` has no foreign key, since orders are tidied long before certificates. `item` and `version` are
-- NULL for certificates that are not filed.
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    serial BLOB NOT NULL UNIQUE,
    purpose TEXT NOT NULL CHECK (purpose IN ('acme', 'tls', 'ocsp')),
    issuer INTEGER NOT NULL REFERENCES issuers (item),
    signer INTEGER NOT NULL REFERENCES key_versions (id),
    account INTEGER REFERENCES accounts (id),
    order_id INTEGER UNIQUE,
    item INTEGER REFERENCES items (id),
    version INTEGER,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    -- The CRL that would list it; NULL when it names none.
    shard INTEGER,
    certificate BLOB NOT NULL,
    UNIQUE (item, version)
) STRICT;
CREATE INDEX certificates_by_issuer ON certificates (issuer, not_after);
CREATE INDEX certificates_by_issue ON certificates (issuer, issued);
CREATE INDEX certificates_by_signer ON certificates (signer, not_after);
CREATE INDEX certificates_of_responders ON certificates (signer, id) WHERE purpose = 'ocsp';
CREATE INDEX certificates_by_account ON certificates (account, issued) WHERE account IS NOT NULL;

CREATE TRIGGER certificates_are_never_changed BEFORE UPDATE ON certificates
BEGIN
    SELECT RAISE(ABORT, 'certificates are append-only');
END;
CREATE TRIGGER certificates_are_never_deleted BEFORE DELETE ON certificates
BEGIN
    SELECT RAISE(ABORT, 'certificates are append-only');
END;

-- A certificate is revoked once (RFC 5280, 5.3.1, has the reasons). It need not be one that the store knows: CA
-- certificates have a table of their own, and others come from a former CRL.
CREATE TABLE revocations (
    signer INTEGER NOT NULL REFERENCES key_versions (id),
    serial BLOB NOT NULL,
    certificate INTEGER UNIQUE REFERENCES certificates (id),
    -- The CRL that lists it beside the complete one: -1 for CA certificates, -2 for none, NULL for every one, since nobody
    -- knows where an unknown certificate belongs.
    shard INTEGER,
    not_after INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reason INTEGER NOT NULL CHECK (reason IN (0, 1, 2, 3, 4, 5, 6, 9, 10)),
    -- Since when it must not be trusted, where that is known to be earlier (RFC 5280, 5.3.2).
    invalid_since INTEGER,
    revoked_by TEXT NOT NULL,
    PRIMARY KEY (signer, serial)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER revocations_are_never_changed BEFORE UPDATE ON revocations
BEGIN
    SELECT RAISE(ABORT, 'revocations are append-only');
END;
CREATE TRIGGER revocations_are_never_deleted BEFORE DELETE ON revocations
BEGIN
    SELECT RAISE(ABORT, 'revocations are append-only');
END;
CREATE INDEX revocations_by_shard ON revocations (signer, shard, not_after);

-- CRLs as they are served. Shards from 0 on are for leaves and have a URL; -1 is for CA certificates, -2 lists everything.
CREATE TABLE crls (
    signer INTEGER NOT NULL REFERENCES key_versions (id),
    shard INTEGER NOT NULL,
    base_url TEXT NOT NULL DEFAULT '',
    leaves INTEGER NOT NULL DEFAULT 0,
    -- Counts what happened to the list; `signed_changes` is how much of that the signed one knows.
    changes INTEGER NOT NULL DEFAULT 1,
    signed_changes INTEGER NOT NULL DEFAULT 0,
    number INTEGER NOT NULL DEFAULT 0,
    this_update INTEGER,
    next_update INTEGER,
    crl BLOB,
    PRIMARY KEY (signer, shard)
) STRICT, WITHOUT ROWID;

-- SHA-256 of the SubjectPublicKeyInfo of keys that are compromised; never tidied. Those that a file lists go when they
-- are listed no more.
CREATE TABLE blocked_keys (
    hash BLOB PRIMARY KEY,
    since INTEGER NOT NULL,
    why TEXT NOT NULL,
    listed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER blocked_keys_are_never_deleted BEFORE DELETE ON blocked_keys WHEN old.listed = 0
BEGIN
    SELECT RAISE(ABORT, 'blocked keys are append-only');
END;

-- SHA-256 of the file that was read last.
CREATE TABLE blocked_key_file (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    hash BLOB NOT NULL
) STRICT;

-- How many days before the end of a certificate people want to hear of it.
CREATE TABLE expiry_warnings (
    item INTEGER NOT NULL REFERENCES items (id),
    days INTEGER NOT NULL,
    PRIMARY KEY (item, days)
) STRICT, WITHOUT ROWID;

-- What was said already: `certificate` or `signer`, its row id, and the warning.
CREATE TABLE expiry_notices (
    subject TEXT NOT NULL,
    id INTEGER NOT NULL,
    days INTEGER NOT NULL,
    PRIMARY KEY (subject, id, days)
) STRICT, WITHOUT ROWID;

-- How far each listener has been told what the audit log says.
CREATE TABLE event_cursors (
    sink TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The certificate that the daemon shows for a host; its key is a file named after the serial number.
CREATE TABLE tls_certificates (
    issuer INTEGER PRIMARY KEY REFERENCES issuers (item),
    host TEXT NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificates (id)
) STRICT;

-- Append-only; each row's hash covers the one before it. The address stands outside the hash, so that it can be blanked.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused')),
    detail TEXT NOT NULL,
    address TEXT,
    hash BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OF id, at, actor, action, object, outcome, detail, hash ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
