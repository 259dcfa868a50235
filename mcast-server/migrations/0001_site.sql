-- What the servers of one site share. The same text for SQLite and PostgreSQL: BIGINT for every number and
-- flag (0 or 1), TEXT for names, addresses and hashes (hex), times in milliseconds since 1970.

-- One row. When any server last beat, and since when there was no gap in it.
CREATE TABLE site (
    beat_ms BIGINT NOT NULL,
    since_ms BIGINT NOT NULL
);
INSERT INTO site (beat_ms, since_ms) VALUES (0, 0);

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE servers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    control TEXT NOT NULL,
    http TEXT NOT NULL,
    version TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    beat_ms BIGINT NOT NULL,
    stopped BIGINT NOT NULL
);

-- Group addresses and ports in use.
CREATE TABLE places (
    address TEXT NOT NULL,
    port BIGINT NOT NULL,
    server TEXT NOT NULL,
    session TEXT NOT NULL,
    shared BIGINT NOT NULL,
    taken_ms BIGINT NOT NULL,
    PRIMARY KEY (address, port)
);
CREATE INDEX places_server ON places (server);

-- Group addresses that a DHCP server lent.
CREATE TABLE leases (
    address TEXT NOT NULL,
    server TEXT NOT NULL,
    lease_id TEXT NOT NULL,
    dhcp_server TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (server, address)
);

-- Clients that are served, and those that wait for it in the order of `turn`.
CREATE TABLE tickets (
    image TEXT NOT NULL,
    client TEXT NOT NULL,
    server TEXT NOT NULL,
    host TEXT NOT NULL,
    priority BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    asked_ms BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    PRIMARY KEY (image, client)
);
CREATE INDEX tickets_server ON tickets (server);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    image TEXT NOT NULL,
    version TEXT NOT NULL,
    group_address TEXT NOT NULL,
    port BIGINT NOT NULL,
    state TEXT NOT NULL,
    started BIGINT NOT NULL,
    rate_bits BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    outcome TEXT,
    clients BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX sessions_server ON sessions (server);
CREATE INDEX sessions_ended ON sessions (ended_ms);

CREATE TABLE clients (
    session TEXT NOT NULL,
    client TEXT NOT NULL,
    host TEXT NOT NULL,
    address TEXT NOT NULL,
    state TEXT NOT NULL,
    path TEXT NOT NULL,
    verified BIGINT NOT NULL,
    blocks BIGINT NOT NULL,
    loss DOUBLE PRECISION NOT NULL,
    reason TEXT,
    joined_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    PRIMARY KEY (session, client)
);
CREATE INDEX clients_joined ON clients (joined_ms);

CREATE TABLE images (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    multicast TEXT NOT NULL,
    state TEXT NOT NULL,
    root TEXT NOT NULL,
    PRIMARY KEY (server, name)
);

-- What an operator asked one server for, on its way to another one.
CREATE TABLE commands (
    server TEXT NOT NULL,
    turn BIGINT NOT NULL,
    body TEXT NOT NULL,
    posted_ms BIGINT NOT NULL,
    PRIMARY KEY (server, turn)
);
