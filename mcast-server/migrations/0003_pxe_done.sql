-- What was to be booted once is done by a computer that the site knows (`known` 1, `who` its name), or by a machine
-- that it does not know (`known` 0, `who` its MAC): a computer may come by several cards, and a card may be lent.
-- `mac`: the card by which it was done.

CREATE TABLE pxe_done_by (
    deployment TEXT NOT NULL,
    known BIGINT NOT NULL,
    who TEXT NOT NULL,
    mac TEXT NOT NULL,
    done_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, known, who)
);
INSERT INTO pxe_done_by (deployment, known, who, mac, done_ms)
    SELECT pxe_done.deployment, 1, pxe_cards.computer, MAX(pxe_done.mac), MAX(pxe_done.done_ms)
    FROM pxe_done JOIN pxe_cards ON pxe_cards.mac = pxe_done.mac
    GROUP BY pxe_done.deployment, pxe_cards.computer;

-- By a card that is no computer's: by its board, if that was seen with it.
INSERT INTO pxe_done_by (deployment, known, who, mac, done_ms)
    SELECT pxe_done.deployment, 1, pxe_computers.name, MAX(pxe_done.mac), MAX(pxe_done.done_ms)
    FROM pxe_done JOIN pxe_boots ON pxe_boots.mac = pxe_done.mac JOIN pxe_computers ON pxe_computers.uuid = pxe_boots.uuid
    WHERE pxe_done.mac NOT IN (SELECT mac FROM pxe_cards)
    GROUP BY pxe_done.deployment, pxe_computers.name
    ON CONFLICT (deployment, known, who) DO NOTHING;
INSERT INTO pxe_done_by (deployment, known, who, mac, done_ms)
    SELECT deployment, 0, mac, mac, done_ms FROM pxe_done
    WHERE mac NOT IN (SELECT mac FROM pxe_cards)
    AND mac NOT IN (
        SELECT pxe_boots.mac FROM pxe_boots JOIN pxe_computers ON pxe_computers.uuid = pxe_boots.uuid
    );
DROP TABLE pxe_done;
