-- Machines that boot from the network, and what they are to boot. The same text for SQLite and PostgreSQL, as in
-- 0001. MACs are six bytes in hex with colons, UUIDs as boards print them, both in lower case.

-- One row. The revision grows with each change of what machines are to boot: with it a server notices cheaply that
-- another one changed something.
CREATE TABLE pxe_site (
    revision BIGINT NOT NULL,
    respond BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    password TEXT
);
INSERT INTO pxe_site (revision, respond, unknown, password) VALUES (0, 1, 0, NULL);

CREATE TABLE pxe_computers (
    name TEXT NOT NULL PRIMARY KEY,
    uuid TEXT,
    address TEXT UNIQUE
);
CREATE INDEX pxe_computers_uuid ON pxe_computers (uuid);

CREATE TABLE pxe_cards (
    mac TEXT NOT NULL PRIMARY KEY,
    computer TEXT NOT NULL,
    turn BIGINT NOT NULL
);
CREATE INDEX pxe_cards_computer ON pxe_cards (computer);

-- In the order of `turn` the first one that fits counts. `target`: computer, known, unknown or all. `wait_s`: within
-- so many seconds a key must be pressed; without it the machine boots by itself.
CREATE TABLE pxe_deployments (
    name TEXT NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL,
    target TEXT NOT NULL,
    computer TEXT,
    boot_image TEXT NOT NULL,
    image TEXT,
    wait_s BIGINT,
    once BIGINT NOT NULL,
    until_ms BIGINT
);
CREATE INDEX pxe_deployments_computer ON pxe_deployments (computer);

-- What was to be booted once, and by which machine it was.
CREATE TABLE pxe_done (
    deployment TEXT NOT NULL,
    mac TEXT NOT NULL,
    done_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, mac)
);

-- Addresses that a server gave. Times by that server's clock.
CREATE TABLE pxe_leases (
    network TEXT NOT NULL,
    address TEXT NOT NULL,
    client TEXT NOT NULL,
    mac TEXT NOT NULL,
    server TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (network, address)
);

-- What a booted client shows to get what its machine was booted for. `hash`: BLAKE3 of the token, which is nowhere
-- else. `boot`: the start of the machine that it was shown by; it is for no other one.
CREATE TABLE pxe_tokens (
    turn BIGINT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    mac TEXT NOT NULL,
    deployment TEXT NOT NULL,
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    boot TEXT
);
CREATE INDEX pxe_tokens_mac ON pxe_tokens (mac);

-- What happened to machines, by the clocks of the servers that saw it.
CREATE TABLE pxe_boots (
    turn BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    server TEXT NOT NULL,
    mac TEXT NOT NULL,
    uuid TEXT,
    platform TEXT,
    address TEXT,
    stage TEXT NOT NULL,
    deployment TEXT,
    message TEXT NOT NULL,
    refused BIGINT NOT NULL
);
CREATE INDEX pxe_boots_mac ON pxe_boots (mac, turn);
CREATE INDEX pxe_boots_at ON pxe_boots (at_ms);
