-- What was to be booted once is done by a computer that the site knows (`known` 1, `who` its name), or by a machine
-- that it does not know (`known` 0, `who` its MAC): a computer may come by several cards, and a card may be lent.

CREATE TABLE pxe_done_by (
    deployment TEXT NOT NULL,
    known BIGINT NOT NULL,
    who TEXT NOT NULL,
    done_ms BIGINT NOT NULL,
    PRIMARY KEY (deployment, known, who)
);
INSERT INTO pxe_done_by (deployment, known, who, done_ms)
    SELECT pxe_done.deployment, 1, pxe_cards.computer, MAX(pxe_done.done_ms)
    FROM pxe_done JOIN pxe_cards ON pxe_cards.mac = pxe_done.mac
    GROUP BY pxe_done.deployment, pxe_cards.computer;
INSERT INTO pxe_done_by (deployment, known, who, done_ms)
    SELECT deployment, 0, mac, done_ms FROM pxe_done WHERE mac NOT IN (SELECT mac FROM pxe_cards);
DROP TABLE pxe_done;
